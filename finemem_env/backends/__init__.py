"""Model clients shared by readers, judges, agents and the chunk-question pipeline.

`base` holds the records and the `Backend` protocol; each client is a module of its own that loads
its heavy package when it is built: `endpoint` (openai), `hf` (transformers), `vllm` (vllm).
"""

from finemem_env.backends.base import (
    Backend,
    ChatRequest,
    Completion,
    Failure,
    Message,
    Sampling,
)

__all__ = ["Backend", "ChatRequest", "Completion", "Failure", "Message", "Sampling"]

"""`llm`: a prompted language model as the memory manager, not trained for it."""

from __future__ import annotations

from collections.abc import Mapping

from finemem_env.backends import Sampling
from finemem_env.backends.policy import ModelPolicy
from finemem_env.backends.registry import make_backend
from finemem_env.errors import ConfigError


class Llm(ModelPolicy):
    """Reads the environment's instructions and observation and replies with operations.

    When the memory is full its inserts are refused unless it deletes something: nothing but the
    instructions tells it so.

    Args:
        backend: {"name": "openai", "model": …, "base_url": …} for any OpenAI-compatible endpoint,
            {"name": "transformers", "model": FOLDER} for a local model, or {"name": "vllm", …}.
        temperature: of the sampler; 0 is greedy.
        max_tokens: longest reply in tokens.
        tools: offer the operations as tools where the model's template takes them.

    Raises:
        ConfigError: no backend, an unknown one, or a model that cannot be loaded.
    """

    def __init__(
        self,
        backend: Mapping[str, object] | None = None,
        *,
        temperature: float = 0.1,
        max_tokens: int = 2048,
        tools: bool = False,
    ) -> None:
        if backend is None:
            raise ConfigError(
                "llm needs a backend, e.g. --agent-args "
                '\'{"backend": {"name": "openai", "model": "…", "base_url": "…"}}\''
            )
        sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
        super().__init__(make_backend(backend), sampling=sampling, tools=tools)

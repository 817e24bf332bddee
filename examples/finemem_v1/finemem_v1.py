"""What `vf-eval finemem-v1` imports: one taskset and the harness that plays it."""

from finemem_env.integrations.verifiers import MemoryHarness, MemoryTaskset

__all__ = ["MemoryHarness", "MemoryTaskset"]

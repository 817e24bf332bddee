"""finemem-env as an OpenEnv environment: the layout that `openenv validate` and `push` expect."""

from finemem_env.integrations.openenv import Edit, MemoryClient, Seen

__all__ = ["Edit", "MemoryClient", "Seen"]

"""Gymnasium environments for LLM memory management (an open implementation of Fine-Mem).

Importing this package registers the environment ids:

    import gymnasium as gym, finemem_env
    env = gym.make("FineMem-AR-v0")
"""

from finemem_env._version import __version__ as __version__
from finemem_env.env import MemoryEnv
from finemem_env.extension import register
from finemem_env.manager import MemoryManager
from finemem_env.registration import register_all
from finemem_env.types import Answer, Chunk, Episode, Evidence, Medium, Question
from finemem_env.vector import MemoryVectorEnv

__all__ = [
    "Answer",
    "Chunk",
    "Episode",
    "Evidence",
    "Medium",
    "MemoryEnv",
    "MemoryManager",
    "MemoryVectorEnv",
    "Question",
    "register",
]

register_all()

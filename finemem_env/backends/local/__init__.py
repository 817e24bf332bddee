"""A causal language model of transformers in this process: decoding, and what updates need of it.

Imports torch and transformers. Readers, managers and the trainer draw from the same `sample`, which
keeps exact token ids and the log-probability each was drawn with.
"""

from finemem_env.backends.local.cache import RecordedPrefix
from finemem_env.backends.local.causal_lm import (
    base_causal_lm,
    checkpoint_layers,
    has_plain_head,
    known_inputs,
    with_cache,
)
from finemem_env.backends.local.prefix import Unit, find_units
from finemem_env.backends.local.probe import abilities
from finemem_env.backends.local.sampling import sample

__all__ = [
    "RecordedPrefix",
    "Unit",
    "abilities",
    "base_causal_lm",
    "checkpoint_layers",
    "find_units",
    "has_plain_head",
    "known_inputs",
    "sample",
    "with_cache",
]

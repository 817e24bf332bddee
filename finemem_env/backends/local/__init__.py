"""A causal language model of transformers in this process: decoding, and what updates need of it.

Imports torch and transformers. Readers, managers and the trainer draw from the same `sample`, which
keeps exact token ids and the log-probability each was drawn with.
"""

from finemem_env.backends.local.cache import RecordedPrefix
from finemem_env.backends.local.cascade import Sharing
from finemem_env.backends.local.causal_lm import (
    base_causal_lm,
    checkpoint_layers,
    evaluating,
    has_plain_head,
    known_inputs,
    with_cache,
)
from finemem_env.backends.local.last_block import last_positions, reading
from finemem_env.backends.local.prefill import unused_mask
from finemem_env.backends.local.prefix import Unit, find_units
from finemem_env.backends.local.probe import abilities
from finemem_env.backends.local.sampling import sample
from finemem_env.backends.local.streams import count_streams, on_plain_cpu, side_by_side

__all__ = [
    "RecordedPrefix",
    "Sharing",
    "Unit",
    "abilities",
    "base_causal_lm",
    "checkpoint_layers",
    "count_streams",
    "evaluating",
    "find_units",
    "has_plain_head",
    "known_inputs",
    "last_positions",
    "on_plain_cpu",
    "reading",
    "sample",
    "side_by_side",
    "unused_mask",
    "with_cache",
]

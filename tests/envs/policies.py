"""A policy for tests: seeded, model-free, and busy with every operation."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

import finemem_env
from finemem_env.operations import render
from finemem_env.registration import make_env
from finemem_env.text import split_sentences
from finemem_env.types import Op, Operation

__all__ = ["policy_actions"]


def policy_actions(env_id: str, seed: int) -> Iterator[str]:
    """Actions over the sentences of the episode of `seed`: inserts, updates, deletes, and noise."""
    env = make_env(env_id)
    env.reset(seed=seed)
    rng = np.random.default_rng([seed, zlib.crc32(env_id.encode())])
    for chunk in env.session.episode.chunks:
        yield _action(chunk, rng)


def _action(chunk: finemem_env.Chunk, rng: np.random.Generator) -> str:
    sentences = split_sentences(chunk.text)
    picked = [sentences[i] for i in rng.integers(len(sentences), size=3)]
    operations = [Operation(Op.INSERT, content=text) for text in picked]
    operations.append(
        Operation(Op.UPDATE, content=picked[0] + " Again.", item_id=int(rng.integers(9)))
    )
    if chunk.media:
        operations.append(Operation(Op.INSERT, media=(chunk.media[0].name,)))
    if rng.random() < 0.5:
        operations.append(Operation(Op.DELETE, item_id=int(rng.integers(9))))
    return render(operations) if rng.random() < 0.9 else "I would rather not."

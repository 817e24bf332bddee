"""Cuts one long published context into chunks, the way a protocol does."""

from __future__ import annotations

import numpy as np

from finemem_env.data.dialogue import (
    CLASSIFICATION,
    READING,
    book_chunk,
    dates,
    dialogue_chunk,
    join_labels,
    pack_sentences,
)
from finemem_env.data.passages import dated_chunks
from finemem_env.data.published.dialects import Published
from finemem_env.data.source import SourceConfig
from finemem_env.types import Chunk


def cut_context(
    context: str,
    rule: Published,
    config: SourceConfig,
    rng: np.random.Generator,
) -> tuple[tuple[Chunk, ...], dict[str, object]]:
    """The chunks of `context`, and what was chosen: {"chunk_tokens": …, "chunking": …}.

    - "own": sentences packed, cut out of the text as it is; a label stays with its example.
    - "memoryagentbench": sentences packed and joined by one space, which loses line breaks.
    - "mem-alpha": the same, wrapped in a dated dialogue (a book for long-range understanding).

    The published empty first chunk, before a first sentence that is too long, is left out.
    """
    chunking, count_tokens = config.chunking, config.count_tokens
    small, large = rule.chunk_tokens
    default = small if chunking == "mem-alpha" else large
    most = config.document_tokens(lambda: count_tokens(context), default)
    if chunking == "own":
        texts = pack_sentences(join_labels(context), most, count_tokens)
    else:
        texts = pack_sentences(context, most, count_tokens, flat=True)
    chosen: dict[str, object] = {"chunk_tokens": most, "chunking": chunking}
    if chunking != "mem-alpha":
        return tuple(Chunk(f"c{i}", text) for i, text in enumerate(texts)), chosen
    days = dates(len(texts), rng if rule.task == "summary" else None)
    openings = CLASSIFICATION if rule.task == "label" else READING
    wrapped = (
        book_chunk(text, day)
        if rule.task == "summary"
        else dialogue_chunk(text, day, rng, openings)
        for text, day in zip(texts, days, strict=True)
    )
    return dated_chunks(wrapped, days), chosen

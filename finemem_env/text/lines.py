"""The sentences of a chunk as numbered lines."""

from __future__ import annotations

from collections.abc import Sequence

from finemem_env.text.primitives import split_sentences

__all__ = ["join_lines", "number_lines"]


def join_lines(sentences: Sequence[str]) -> str:
    """Sentences as one text that splits into them again: joined by spaces.

    By line breaks where a space would make other sentences of them, as of labelled examples, whose
    label ends at the end of a line.
    """
    text = " ".join(sentences)
    return text if split_sentences(text) == tuple(sentences) else "\n".join(sentences)


def number_lines(sentences: Sequence[str]) -> str:
    """`[1] …`, `[2] …`, one a line. No sentence holds a line break, so none can forge a number."""
    return "\n".join([f"[{number}] {text}" for number, text in enumerate(sentences, start=1)])

"""The sentences of a chunk as numbered lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from finemem_env.text.primitives import split_sentences


def join_lines(sentences: Sequence[str]) -> str:
    """Sentences as one text that splits into them again: joined by spaces.

    By line breaks where a space would make other sentences of them, as of labelled examples, whose
    label ends at the end of a line.
    """
    text = " ".join(sentences)
    return text if split_sentences(text) == tuple(sentences) else "\n".join(sentences)


def number_lines(sentences: Sequence[str], starts: Collection[int] = ()) -> str:
    """`[1] …`, `[2] …`, one a line, with a blank line before those of `starts`.

    No sentence holds a line break, so none can forge a number.
    """
    return "\n".join(
        [
            f"\n[{number}] {text}" if number in starts else f"[{number}] {text}"
            for number, text in enumerate(sentences, start=1)
        ]
    )


def paragraph_starts(text: str, sentences: Sequence[str]) -> frozenset[int]:
    """Numbers, from 1, of the sentences of `text` that a blank line stands before."""
    starts = []
    end = 0
    for number, sentence in enumerate(sentences, start=1):
        start = text.index(sentence, end)
        if number > 1 and len(text[end : start + 1].splitlines()) > 2:
            starts.append(number)
        end = start + len(sentence)
    return frozenset(starts)

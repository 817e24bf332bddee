"""Chunks of long texts: sentences packed by a token budget, and the dated dialogue around them.

    [Dialogue between User and Assistant on 2024-01-03 00:00]
    <User>Here is what I read today:
    …
    <Assistant>I will keep that in mind.

Mem-α wraps its chunks in this form, one day each from 2024-01-01, so that memories can be dated.
Header and layout are published; the sentences around the text are ours.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence

import numpy as np

from finemem_env.data.packing import sentence_spans

_FIRST_DAY = datetime.date(2024, 1, 1)
_HEADER = re.compile(r"\[([^\]\n]*+)\]")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}")
_LABEL_LINE = re.compile(r"\n[ \t]*(labels?[ \t]?:)", re.IGNORECASE)

READING = (
    "Here is what I read today:",
    "I came across the following:",
    "These are some things I learned:",
    "I would like to share what I found out:",
    "Some more facts that I read about:",
    "Let me tell you what I have been reading:",
    "This is what I learned since we last talked:",
    "I noted down the following information:",
)
CLASSIFICATION = (
    "Here are some labelled examples. Please mind the labels:",
    "These texts were classified. Learn how from their labels:",
    "More examples with their labels:",
    "Please study these examples and the label of each:",
    "I collected the following labelled texts:",
    "Remember these examples together with their labels:",
    "The following texts come with their classes:",
    "Learn the classification from these examples:",
)
REPLIES = (
    "I will keep that in mind.",
    "Thank you, I have noted it.",
    "Understood, I will remember this.",
    "Got it.",
    "Thanks, I have stored these details.",
    "I will come back to this when you ask.",
)


def pack_spans(
    text: str, most: int, count_tokens: Callable[[str], int]
) -> list[list[tuple[int, int]]]:
    """Sentences of `text` as [start, end), greedily packed: at most `most` tokens a chunk.

    A chunk's size is the sum of its sentences'. A longer sentence is a chunk of its own.
    """
    chunks: list[list[tuple[int, int]]] = []
    room = 0
    for span in sentence_spans(text):
        tokens = count_tokens(text[span[0] : span[1]])
        if not chunks or tokens > room:
            chunks.append([])
            room = most
        chunks[-1].append(span)
        room -= tokens
    return chunks


def pack_sentences(
    text: str, most: int, count_tokens: Callable[[str], int], *, flat: bool = False
) -> list[str]:
    """`text` in chunks of whole sentences, at most `most` tokens each.

    Args:
        text: a document; a line break ends a sentence.
        most: tokens of a chunk, exceeded only by a single sentence.
        count_tokens: counts a text.
        flat: join the sentences by one space, so that line breaks are lost, as the publishers do;
            otherwise a chunk is cut out of the text as it is.
    """
    chunks = pack_spans(text, most, count_tokens)
    if flat:
        return [" ".join(text[start:end] for start, end in spans) for spans in chunks]
    return [text[spans[0][0] : spans[-1][1]] for spans in chunks]


def join_labels(text: str) -> str:
    """A "label: …" line is joined to the example before it, so that no cut separates them."""
    return _LABEL_LINE.sub(r" \1", text)


def dates(count: int, rng: np.random.Generator | None = None) -> list[str]:
    """`count` ISO dates from 2024-01-01, one a day; with `rng`, one to three days apart."""
    days, day = [], _FIRST_DAY
    for _ in range(count):
        days.append(day.isoformat())
        step = 1 if rng is None else int(rng.integers(1, 4))
        day += datetime.timedelta(days=step)
    return days


def dialogue_chunk(
    text: str, date: str, rng: np.random.Generator, openings: Sequence[str] = READING
) -> str:
    """`text` as what the user says on `date`, and the assistant's reply."""
    opening = openings[int(rng.integers(len(openings)))]
    reply = REPLIES[int(rng.integers(len(REPLIES)))]
    return (
        f"[Dialogue between User and Assistant on {date} 00:00]\n"
        f"<User>{opening}\n{text}\n<Assistant>{reply}"
    )


def book_chunk(text: str, date: str) -> str:
    """`text` as what the user reads in a book on `date`."""
    return (
        f"[Event happened on {date} The user is reading a book]\n<User> {text}\n\n"
        f"<System> Please remember what the user read on {date}: keep the details, and a summary "
        "of the book so far."
    )


def header_date(chunk: str) -> str | None:
    """The date in the first line of a wrapped chunk, None where there is none."""
    header = _HEADER.match(chunk)
    dates = _DATE.findall(header[1]) if header else []
    return dates[-1] if dates else None

"""Sentences of the chunk by their numbers: what `"lines"` and the short forms refer to.

    {"op": "INSERT", "lines": [2, 5]}               one item of two sentences
    {"op": "UPDATE", "id": "3", "lines": "4-6"}
    KEEP 2 5          one INSERT a sentence
    REPLACE 3 WITH 4  UPDATE of item 3
    DROP 7            DELETE of item 7
    SKIP

Pictures and sounds are named beside them, m1, m2, …: `KEEP m1`, `REPLACE 3 WITH 4 m1`, and a field
`"media": ["m1"]`. Whether they are there is the memory's business.

What is written by reference counts as if it were written out: a reply brings `MAX_ACTION_CHARS`
characters at most, so that nothing behind the grammar has to read more than that.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from finemem_env.operations.extract import Command, integer
from finemem_env.operations.tool_calls import clean, reject
from finemem_env.text.lines import join_lines
from finemem_env.types import Op, Operation, OperationResult, RejectReason

MAX_ACTION_CHARS = 262_144

_NOISE = re.compile(r"[\[\](),;:#`*_&]|\b(?:and|lines?|items?|sentences?)\b|\.\s*$", re.IGNORECASE)
_SPAN = re.compile(r"(\d+)\s*[-‐‑–—]\s*(\d+)|\d+")
_NAME = re.compile(r"(?<!\w)m(\d{1,9})(?!\w)", re.IGNORECASE)
_WITH = re.compile(r"\b(?:WITH|BY)\b", re.IGNORECASE)

Span = tuple[int, int]  # the first and the last of them
Parsed = Operation | OperationResult
"""One emitted operation: well-formed, or rejected while parsing."""


class References:
    """Looks up the lines that one reply refers to.

    Args:
        sentences: of the chunk, as its observation numbers them from 1.
        media: whether pictures and sounds can be named.
    """

    def __init__(self, sentences: Sequence[str], *, media: bool = False) -> None:
        self._sentences = sentences
        self.media = media
        self._left = MAX_ACTION_CHARS

    def write(
        self, op: Op, spans: Iterable[Span], item_id: int | None = None, store: str | None = None
    ) -> Parsed:
        """The operation whose content is these lines, each once, in the order given."""
        lines: dict[int, None] = {}
        for span in spans:
            numbers = self.numbers(span)
            if isinstance(numbers, RejectReason):
                return reject(op.value, numbers)
            lines.update(dict.fromkeys(numbers))
        if not lines:
            return reject(op.value, RejectReason.MISSING_FIELD)
        return Operation(op, self.text(lines), item_id, store, tuple(lines))

    def text(self, numbers: Iterable[int]) -> str:
        """The words of these lines, which are there."""
        texts = [self._sentences[number - 1] for number in numbers]
        return clean(texts[0] if len(texts) == 1 else join_lines(texts))

    def numbers(self, span: Span) -> range | RejectReason:
        """The lines from one number to another, taken off what the reply may still bring."""
        first, last = span
        if not 1 <= first <= last <= len(self._sentences):
            return RejectReason.UNKNOWN_LINE
        numbers = range(first, last + 1)
        size = 0
        for number in numbers:
            size += len(self._sentences[number - 1]) + 1
            if size > self._left:
                self._left = 0
                return RejectReason.ACTION_TOO_LONG
        self._left -= size
        return numbers


def is_reference(value: object) -> bool:
    """Whether a field `lines` says something: null and an empty text or list do not."""
    return value is not None and value != "" and value != []


def read_field(value: object) -> list[Span] | RejectReason:
    """The spans of a field `lines`: a number, a text such as "2 5-7", or a list of these."""
    spans_read: list[Span] = []
    for part in value if isinstance(value, list) else (value,):
        if isinstance(part, str):
            spans = read_spans(part)
            if spans is None:
                return RejectReason.UNKNOWN_LINE
            spans_read.extend(spans)
        elif isinstance(part, bool) or not isinstance(part, int):
            return RejectReason.WRONG_TYPE
        else:
            spans_read.append((part, part))
    return spans_read


def read_names(value: object) -> tuple[str, ...] | RejectReason:
    """The names in a field `media`: a name, a text such as "m1 m2", or a list of these."""
    names_read: dict[str, None] = {}
    for part in value if isinstance(value, list) else (value,):
        if not isinstance(part, str):
            return RejectReason.WRONG_TYPE
        rest, names = _find_names(part)
        if _NOISE.sub(" ", rest).strip():
            return RejectReason.UNKNOWN_MEDIUM
        names_read.update(dict.fromkeys(names))
    return tuple(names_read)


def _find_names(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` without the names of media in it, and those names, each once."""
    names = dict.fromkeys(f"m{int(match[1])}" for match in _NAME.finditer(text))
    return _NAME.sub(" ", text), tuple(names)


def read_spans(text: str) -> list[Span] | None:
    """The numbers and ranges that a text consists of, None where it holds anything else."""
    text = _NOISE.sub(" ", text)
    spans: list[Span] = []
    end = 0
    for match in _SPAN.finditer(text):
        if text[end : match.start()].strip():
            return None
        end = match.end()
        first, last = match.groups() if match[1] else (match[0], match[0])
        spans.append((integer(first), integer(last)))
    return None if text[end:].strip() else spans


def read_command(command: Command, references: References) -> Iterator[Parsed]:
    """The operations of a line in the short forms.

    A line that cannot be read is prose, unless its word is in capitals: then it was meant as an
    operation, and is rejected.
    """
    operations = list(_read(command.word.upper(), command.rest, references))
    if operations or command.word.isupper():
        yield from operations or [reject(_OPS[command.word].value, RejectReason.MALFORMED)]


_OPS = {"KEEP": Op.INSERT, "REPLACE": Op.UPDATE, "DROP": Op.DELETE, "SKIP": Op.SKIP}


def _read(word: str, rest: str, references: References) -> Iterator[Parsed]:
    """Nothing where the line is not of its form."""
    if word == "REPLACE":
        yield from _replace(rest, references)
        return
    rest, names = _find_names(rest) if references.media and word == "KEEP" else (rest, ())
    spans = read_spans(rest)
    if spans is None or bool(spans or names) == (word == "SKIP"):
        return
    if word == "SKIP":
        yield Operation(Op.SKIP)
    elif word == "DROP":
        yield from map(_drop, spans)
    else:
        for span in spans:
            yield from _keep(span, references)
        yield from (Operation(Op.INSERT, media=(name,)) for name in names)


def _keep(span: Span, references: References) -> Iterator[Parsed]:
    numbers = references.numbers(span)
    if isinstance(numbers, RejectReason):
        yield reject(Op.INSERT.value, numbers)
        return
    for number in numbers:
        yield Operation(Op.INSERT, references.text((number,)), lines=(number,))


def _replace(rest: str, references: References) -> Iterator[Parsed]:
    parts = _WITH.split(rest, 1)
    named, names = _find_names(parts[-1]) if references.media else (parts[-1], ())
    ids, spans = [read_spans(part) for part in (parts[0], named)]
    if len(parts) < 2 or not ids or not (spans or names) or spans is None or len(ids) > 1:
        return
    ((first, last),) = ids
    if first != last or first < 0:
        yield reject(Op.UPDATE.value, RejectReason.UNKNOWN_ID)
    elif spans:
        yield with_media(references.write(Op.UPDATE, spans, first), names)
    else:
        yield Operation(Op.UPDATE, item_id=first, media=names)


def with_media(parsed: Parsed, names: tuple[str, ...]) -> Parsed:
    """The operation with the media that it names; a rejection as it is."""
    is_operation = isinstance(parsed, Operation) and names
    return dataclasses.replace(parsed, media=names) if is_operation else parsed


def _drop(span: Span) -> Parsed:
    first, last = span
    if first != last or first < 0:
        return reject(Op.DELETE.value, RejectReason.UNKNOWN_ID)
    return Operation(Op.DELETE, item_id=first)

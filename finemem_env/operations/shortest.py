"""The shortest action for given operations where the chunk's sentences have numbers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from finemem_env.operations.grammar import render
from finemem_env.operations.tool_calls import clean
from finemem_env.text import split_sentences
from finemem_env.text.lines import join_lines
from finemem_env.types import Op, Operation


def concise(operations: Sequence[Operation], sentences: Sequence[str] | None) -> str:
    """What `parse` reads as these operations, by numbers and short forms where that is shorter.

    The memory is the same up to white space between sentences. Contents that do not consist of the
    chunk's sentences, as they stand there, are written out.

    Args:
        operations: as for `render`.
        sentences: of the chunk, numbered; None where it is not, which gives `render(operations)`.
    """
    whole = render(operations)
    if sentences is None:
        return whole
    places: dict[str, list[int]] = {}
    for number, text in enumerate(sentences, start=1):
        places.setdefault(clean(text), []).append(number)
    referred = [_refer(operation, sentences, places) for operation in operations]
    short = "\n".join(_lines(referred))
    return short if len(short) < len(whole) else whole


def _refer(
    operation: Operation, sentences: Sequence[str], places: dict[str, list[int]]
) -> Operation:
    """The operation with the lines of its content, if it consists of such."""
    content = operation.content
    if content is None or operation.lines or operation.media:
        return operation
    parts = [content] if content in places else split_sentences(content)
    lines: list[int] = []
    used: Counter[str] = Counter()
    for part in parts:
        numbers = places.get(part, ())
        if used[part] >= len(numbers):
            return operation
        lines.append(numbers[used[part]])
        used[part] += 1
    text = clean(join_lines([sentences[number - 1] for number in lines]))
    same = bool(lines) and text.split() == content.split()
    return dataclasses.replace(operation, content=text, lines=tuple(lines)) if same else operation


def _lines(operations: Sequence[Operation]) -> Iterator[str]:
    for kind, group in groupby(operations, _kind):
        some = list(group)
        if kind == "KEEP":
            yield f"KEEP {_spans([operation.lines[0] for operation in some])}"
        elif kind == "KEEP media":
            yield f"KEEP {' '.join(operation.media[0] for operation in some)}"
        elif kind == "DROP":
            yield f"DROP {' '.join(str(operation.item_id) for operation in some)}"
        elif kind == "REPLACE":
            yield from (f"REPLACE {one.item_id} WITH {_named(one)}" for one in some)
        elif kind == "SKIP":
            yield from ["SKIP"] * len(some)
        else:
            yield from map(_record, some)


def _record(operation: Operation) -> str:
    """The operation as JSON, with ranges of lines where there are some."""
    text, spans = render([operation])[1:-1], _spans(operation.lines)
    if "-" not in spans:
        return text
    return text.replace(f'"lines":{list(operation.lines)}'.replace(" ", ""), f'"lines":"{spans}"')


def _kind(operation: Operation) -> str:
    """The word of the operation's short form, "" where it has none."""
    if operation.op is Op.SKIP:
        return "SKIP"
    if operation.store is not None:
        return ""
    if operation.op is Op.DELETE:
        return "DROP"
    if operation.op is Op.UPDATE:
        named = operation.lines or (operation.media and operation.content is None)
        return "REPLACE" if named else ""
    if operation.media:
        return "KEEP media" if operation.content is None and len(operation.media) == 1 else ""
    return "KEEP" if len(operation.lines) == 1 else ""


def _named(operation: Operation) -> str:
    """Numbers of sentences and names of media."""
    return " ".join(filter(None, [_spans(operation.lines), *operation.media]))


def _spans(numbers: Sequence[int]) -> str:
    """Numbers as text: runs of three and more from the first to the last."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else " ".join(map(str, run)) for run in runs
    )

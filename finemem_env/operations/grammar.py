"""The action grammar: from the agent's text to operations and rejections, and back.

Owns what an operation is: its names, fields and types. How models write one is `tool_calls`'
business, and whether it fits the memory is `memory`'s. An agent's mistake is data: nothing here
raises on any text.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence

from finemem_env.operations.extract import DIGITS, Command
from finemem_env.operations.references import (
    MAX_ACTION_CHARS,
    Parsed,
    References,
    is_reference,
    read_command,
    read_field,
    read_names,
    with_media,
)
from finemem_env.operations.tool_calls import Call, clean, find_calls, reject
from finemem_env.text import normalise
from finemem_env.text.folding import shown
from finemem_env.types import Op, Operation, OperationResult, RejectReason

_NAMES = {
    **{name: op for op in Op for name in (op.value, op.value.casefold())},
    "add": Op.INSERT,
    "noop": Op.SKIP,
    # Mem-α's tools (arXiv 2509.25911).
    "new_memory_insert": Op.INSERT,
    "memory_update": Op.UPDATE,
    "memory_delete": Op.DELETE,
}
_CONTENT = ("content", "new_content")
_ID = ("id", "memory_id")
_STORE = ("store", "memory_type")
_LINES, _MEDIA = "lines", "media"
_CORE = "core"  # one text without an id (Mem-α)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_TOO_LONG = OperationResult("", RejectReason.ACTION_TOO_LONG)
_NOTHING = OperationResult("", RejectReason.NO_OPERATION)


def parse(
    action: str, sentences: Sequence[str] | None = None, *, media: bool = False
) -> tuple[Parsed, ...]:
    """Everything that `action` emits, in order; never empty and never raises.

    A SKIP is an operation only when it is all that was emitted. Content always encodes to UTF-8.
    Time is linear in the length of the text, whatever the text.

    Args:
        action: the agent's text.
        sentences: those of the chunk as its observation numbers them, which operations may name by
            their numbers; None where it does not.
        media: whether operations may name pictures and sounds (m1, m2, …). There are short forms
            where they may name something.

    Returns:
        `Operation` for what is well-formed, `OperationResult` for what is rejected already. Without
        any operation: one NO_OPERATION, or ACTION_TOO_LONG past `MAX_ACTION_CHARS` characters.
    """
    if len(action) > MAX_ACTION_CHARS:
        return (_TOO_LONG,)
    references = None
    if sentences is not None or media:
        references = References(sentences or (), media=media)
    parsed: list[Parsed] = []
    for call in find_calls(action, commands=references is not None):
        if isinstance(call, Command) and references is not None:
            parsed.extend(read_command(call, references))
        elif not isinstance(call, Command):
            parsed.append(_read(call, references))
    if len(parsed) > 1:
        parsed = [_beside(entry) for entry in parsed]
    return tuple(parsed) or (_NOTHING,)


def render(operations: Sequence[Operation]) -> str:
    """The canonical action, a JSON list: `parse(render(x)) == x` for whatever `parse` gives.

    That is: at least one operation, a SKIP only alone, content that is not blank, ids from 0. What
    has `lines` is written by their numbers, and read with the same sentences.
    """
    return _ENCODER.encode([_record(op) for op in operations])


def is_blank(content: str) -> bool:
    """Whether nothing in `content` can be seen: no letter, number, punctuation mark or symbol."""
    if "!" <= content[:1] <= "~":
        return False  # of ASCII the printable ones but the space
    return not any(unicodedata.category(mark)[0] in "LNPS" for mark in shown(content))


def _record(operation: Operation) -> dict[str, object]:
    record: dict[str, object] = {"op": operation.op.value}
    if operation.item_id is not None:
        record["id"] = str(operation.item_id)
    if operation.lines:
        record[_LINES] = list(operation.lines)
    elif operation.content is not None:
        record["content"] = operation.content
    if operation.media:
        record[_MEDIA] = list(operation.media)
    if operation.store is not None:
        record["store"] = operation.store
    return record


def _beside(entry: Parsed) -> Parsed:
    if isinstance(entry, Operation) and entry.op is Op.SKIP:
        return OperationResult(Op.SKIP.value, RejectReason.SKIP_NOT_ALONE)
    return entry


def _read(call: Call | OperationResult, references: References | None) -> Parsed:
    if isinstance(call, OperationResult):
        return call
    name, fields = call
    if not isinstance(name, str):
        return reject("", RejectReason.MISSING_FIELD if name is None else RejectReason.WRONG_TYPE)
    op = _NAMES.get(name) or _NAMES.get(normalise(name))
    if op is None:
        return reject(name, RejectReason.UNKNOWN_OPERATION)
    return Operation(op) if op is Op.SKIP else _edit(op, fields, references)


def _edit(op: Op, fields: Mapping[str, object], references: References | None) -> Parsed:
    """An INSERT, UPDATE or DELETE; the first field at fault, in the order store, id, content."""
    store = _field(fields, _STORE)
    if store is not None:
        if not isinstance(store, str):
            return reject(op.value, RejectReason.WRONG_TYPE)
        store = normalise(clean(store)).removesuffix("_memory")
    item_id: int | None = None
    if op is not Op.INSERT and store != _CORE:
        read_id = _item_id(_field(fields, _ID))
        if isinstance(read_id, RejectReason):
            return reject(op.value, read_id)
        item_id = read_id
    if op is not Op.DELETE:
        return _write(op, fields, references, item_id, store)
    return Operation(op, None, item_id, store)


def _write(
    op: Op,
    fields: Mapping[str, object],
    references: References | None,
    item_id: int | None,
    store: str | None,
) -> Parsed:
    """An INSERT or UPDATE: words, or sentences by number, and the media beside them."""
    content, lines, named = _field(fields, _CONTENT), fields.get(_LINES), fields.get(_MEDIA)
    media: tuple[str, ...] = ()
    if references is not None and references.media and is_reference(named):
        names = read_names(named)
        if isinstance(names, RejectReason):
            return reject(op.value, names)
        media = names
    if references is not None and content in (None, "") and is_reference(lines):
        spans = read_field(lines)
        if isinstance(spans, RejectReason):
            return reject(op.value, spans)
        return with_media(references.write(op, spans, item_id, store), media)
    if media and content in (None, ""):
        return Operation(op, None, item_id, store, media=media)
    text = _content(content)
    if isinstance(text, RejectReason):
        return reject(op.value, text)
    return Operation(op, text, item_id, store, media=media)


def _field(fields: Mapping[str, object], names: tuple[str, ...]) -> object:
    """The first of `names` that is there; null counts as absent."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value
    return None


def _item_id(value: object) -> int | RejectReason:
    if value is None:
        return RejectReason.MISSING_FIELD
    if isinstance(value, str):
        digits = shown(value).strip()
        if not (digits.isdecimal() and len(digits) <= DIGITS):
            return RejectReason.UNKNOWN_ID
        return int(digits)
    if isinstance(value, bool) or not isinstance(value, int):
        return RejectReason.WRONG_TYPE
    return value if value >= 0 else RejectReason.UNKNOWN_ID


def _content(value: object) -> str | RejectReason:
    if value is None:
        return RejectReason.MISSING_FIELD
    if not isinstance(value, str):
        return RejectReason.WRONG_TYPE
    content = clean(value)
    return RejectReason.EMPTY_CONTENT if is_blank(content) else content

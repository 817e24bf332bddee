"""The forms in which models write operations, brought to one: a name with its arguments.

    [{"op": "INSERT", "content": "…"}]                                      canonical
    {"op": …}        {"operations": [{"op": …}]}                            one object, wrapped
    <tool_call>{"name": "INSERT", "arguments": {…}}</tool_call>             Hermes, Qwen, Llama
    {"tool_calls": [{"function": {"name": …, "arguments": "{…}"}}]}         OpenAI
    ✿FUNCTION✿: memory_update ✿ARGS✿: {"memory_id": …, "new_content": …}    Qwen-agent, Mem-α

Whether a name and its arguments make an operation is decided in `grammar`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from finemem_env.operations.extract import BROKEN, Command, decode, find_values
from finemem_env.types import OperationResult, RejectReason

_NAME_CHARS = 32  # of an unknown operation's name, enough to recognise it in a trace


class Call(NamedTuple):
    """An operation as written: its name and where its fields are. Nothing is checked yet."""

    name: object
    arguments: Mapping[str, object]


def find_calls(text: str, *, commands: bool = False) -> list[Call | Command | OperationResult]:
    """Everything in `text` that was meant as an operation, in order; a result is a rejection.

    Lines in the short forms are among them where `commands` says so.
    """
    calls: list[Call | Command | OperationResult] = []
    for value in find_values(text, commands=commands):
        if isinstance(value, Command):
            calls.append(value)
        else:
            calls.extend(_calls(value))
    return calls


def clean(text: str) -> str:
    """`text` with lone surrogates, which no file or model accepts, replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= mark <= "\udfff" else mark for mark in text)
    return text


def reject(name: object, reason: RejectReason) -> OperationResult:
    """A rejection that keeps as much of the name as a trace needs."""
    return OperationResult(clean(name[:_NAME_CHARS]) if isinstance(name, str) else "", reason)


def _calls(value: object) -> Iterator[Call | OperationResult]:
    if isinstance(value, list):
        # A list without objects is prose, such as a reference [1].
        if any(isinstance(entry, dict) or entry is BROKEN for entry in value):
            yield from map(_call, value)
        return
    if isinstance(value, dict) and "op" not in value:
        for wrapper in ("operations", "tool_calls"):
            if wrapper in value:
                inner = value[wrapper]
                yield from map(_call, inner if isinstance(inner, list) else (inner,))
                return
    yield _call(value)


def _call(value: object) -> Call | OperationResult:
    if value is BROKEN:
        return reject("", RejectReason.MALFORMED)
    if not isinstance(value, dict):
        return reject("", RejectReason.WRONG_TYPE)
    if "op" in value:
        return Call(value["op"], value)
    function = value.get("function", value)
    if function is BROKEN:
        return reject("", RejectReason.MALFORMED)
    if not isinstance(function, dict) or "name" not in function:
        return reject("", RejectReason.MISSING_FIELD)
    return _arguments(function["name"], function)


def _arguments(name: object, function: Mapping[str, object]) -> Call | OperationResult:
    arguments = function.get("arguments", function.get("parameters", function))
    if isinstance(arguments, str):
        arguments = decode(arguments) if arguments.strip() else None
    if arguments is None:
        arguments = {}
    if arguments is BROKEN:
        return reject(name, RejectReason.MALFORMED)
    if not isinstance(arguments, dict):
        return reject(name, RejectReason.WRONG_TYPE)
    return Call(name, arguments)

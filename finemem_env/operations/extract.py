"""Find JSON values in a reply that a language model wrote: fenced, tagged, surrounded or cut off.

Owns where a value starts and ends; what a value means is `tool_calls`' business. Never raises, and
takes time linear in the length of the text whatever the text: a reply is decoded in one go while
it is valid JSON; from the first error on, one pass over its brackets finds the objects that are
whole, and each of those is decoded on its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

BROKEN: Final = object()
"""Stands for an object that is not valid JSON, is cut off, or names one key twice."""


class Command(NamedTuple):
    """A line that begins with the word of a short form, taken apart there."""

    word: str
    rest: str


# What matters outside JSON. `✿…✿` are the marks of Qwen's text protocol for tool calls.
_MARK = re.compile(r"[\[{]|</?(?i:think(?:ing)?)>|✿(?:FUNCTION|RESULT|RETURN)✿")
# The same, and whole lines that begin with the word of a short form; a brace leaves a line to JSON.
_MARK_OR_COMMAND = re.compile(
    r"(?:^|(?<=</(?i:think)>)|(?<=</(?i:thinking)>))(?:[^\S\n]|[-*•>`_])*+(?:\d{1,3}[.)][^\S\n]++)?[*`_]*+"
    r"(?P<word>(?i:KEEP|REPLACE|DROP|SKIP))\b(?P<rest>[^\n{]*+)$|" + _MARK.pattern,
    re.MULTILINE,
)
# What matters inside an object, where strings hide everything else. Possessive: no backtracking.
_INSIDE = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]|</?(?i:tool_call|think(?:ing)?)>|✿', re.DOTALL
)
_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
# A brace that opens an object (of a key, or empty), as opposed to one in prose or LaTeX.
_OBJECT = re.compile(r"\{\s*(?:[\"'}]|\w+\s*:)")
_FUNCTION = re.compile(r":?[^\S\n]*([^\n✿]*)(\s*✿ARGS✿:?\s*)?")
_LEVELS = 3  # how deep whole objects are looked for in a broken one: each level decodes once more
DIGITS = 18  # a longer integer cannot be an id


def _object(pairs: list[tuple[str, Any]]) -> object:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else BROKEN


def integer(digits: str) -> int:
    """Ints of any length, -1 for one too long to name anything: converting those is slow."""
    return int(digits) if len(digits) <= DIGITS else -1


# strict=False: models write line breaks inside strings.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=integer, strict=False)


def decode(text: str) -> object:
    """The value that the whole of `text` is, `BROKEN` if it is none."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return BROKEN


def find_values(text: str, *, commands: bool = False) -> list[object]:
    """JSON objects and lists of `text`, in order, with `BROKEN` for each object that is not whole.

    With `commands`, a `Command` for each line outside them that begins with the word of one.

    Thinking is left out: from `<think>` to `</think>` (or the end), and everything before a
    `</think>` that nothing opened; `<thinking>` and capitals are the same. A call of Qwen's text
    protocol (✿FUNCTION✿: name ✿ARGS✿: {…}) comes as {"name": …, "arguments": …}; its result marks
    end the reply. None of these marks counts inside a JSON string.
    """
    return _Reply(text, _MARK_OR_COMMAND if commands else _MARK).values()


class _Reply:
    """One pass over a reply."""

    def __init__(self, text: str, marks: re.Pattern[str]) -> None:
        self._text = text
        self._marks = marks
        self._found: list[object] = []
        self._valid = True

    def values(self) -> list[object]:
        position = 0
        while mark := self._marks.search(self._text, position):
            position = self._follow(mark)
        return self._found

    def _follow(self, mark: re.Match[str]) -> int:
        """Take what starts at `mark`; return where to go on."""
        token, end = mark[0].lower(), mark.end()
        if mark.lastgroup:
            self._found.append(Command(mark["word"], mark["rest"]))
            return end
        if token in "[{":
            return self._value(mark.start())
        if token.startswith("<think"):
            close = _THOUGHT.search(self._text, end)
            return close.end() if close else len(self._text)
        if token.startswith("</think"):
            self._found.clear()
            return end
        return self._call(end) if token == "✿function✿" else len(self._text)

    def _value(self, start: int) -> int:
        if self._valid:
            try:
                value, end = _DECODER.raw_decode(self._text, start)
            except (ValueError, RecursionError):
                self._valid = False
            else:
                self._found.append(value)
                return end
        if self._text[start] == "[" or not _OBJECT.match(self._text, start):
            return start + 1
        outline, end = _outline(self._text, start)
        self._found.extend(_whole(self._text, outline))
        return end

    def _call(self, start: int) -> int:
        match = _FUNCTION.match(self._text, start)
        if match is None or match[2] is None:
            name, end = (match[1], match.end()) if match else ("", start)
            self._found.append({"name": name.strip(), "arguments": {}})
            return end
        before, end = len(self._found), match.end()
        if self._text.startswith("{", end):
            end = self._value(end)
        values = self._found[before:]
        arguments = values[0] if len(values) == 1 else BROKEN
        self._found[before:] = [{"name": match[1].strip(), "arguments": arguments}]
        return end


@dataclass(slots=True)
class _Node:
    """An object by its brackets: start, end (-1: never closed), and the objects in its lists."""

    start: int
    depth: int
    end: int = -1
    parts: list[_Node] = field(default_factory=list)


def _outline(text: str, start: int) -> tuple[_Node, int]:
    """Brackets of the object that starts at `start`, and where it, or the reply's hope, ends."""
    root = _Node(start, 0)
    # Closers of the open brackets, each with the object that it, or whose list it, ends.
    stack: list[tuple[str, _Node | None]] = [("}", root)]
    waiting = {"}": 1, "]": 0}
    for token in _INSIDE.finditer(text, start + 1):
        mark = token[0]
        if mark == "{" or mark == "[":
            entry = _opened(mark, token.start(), *stack[-1])
            stack.append(entry)
            waiting[entry[0]] += 1
        elif mark == "}" or mark == "]":
            if waiting[mark]:
                _close(mark, token.end(), stack, waiting)
            if not stack:
                return root, token.end()
        elif mark[0] != '"':
            return root, token.start()
    return root, len(text)


def _opened(mark: str, start: int, closer: str, around: _Node | None) -> tuple[str, _Node | None]:
    """What closes `mark`; only objects in the lists of objects are kept, down to `_LEVELS`."""
    in_list = closer == "]"
    if mark == "[":
        return "]", None if in_list else around
    if not in_list or around is None or around.depth == _LEVELS:
        return "}", None
    node = _Node(start, around.depth + 1)
    around.parts.append(node)
    return "}", node


def _close(
    mark: str, end: int, stack: list[tuple[str, _Node | None]], waiting: dict[str, int]
) -> None:
    """Close the innermost bracket that `mark` fits; those inside it stay unclosed."""
    closer = ""
    while closer != mark:
        closer, node = stack.pop()
        waiting[closer] -= 1
    if mark == "}" and node is not None:
        node.end = end


def _whole(text: str, node: _Node) -> Iterator[object]:
    """The object at `node`; if it is broken, those in its lists, else `BROKEN`."""
    value = decode(text[node.start : node.end]) if node.end >= 0 else BROKEN
    if value is BROKEN and node.parts:
        for part in node.parts:
            yield from _whole(text, part)
    else:
        yield value

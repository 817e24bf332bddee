"""JSON read back, with errors that say where, expected and found: text, files, lines, values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import cast

from finemem_env.errors import DataError, nearest


class Fields:
    """A JSON object or table row whose values are read by key and type.

    `where` names file and record and starts every error; `known`, where given, is every key that
    may appear; `hint` ends every error (where to get a good file).

    Raises:
        DataError: a record that is not an object, or a key that is not `known`.
    """

    def __init__(
        self, record: object, where: str, known: Collection[str] | None = None, hint: str = ""
    ) -> None:
        self.where = where
        self.hint = hint
        self._end = f" {hint}" if hint else ""
        if not isinstance(record, Mapping):
            raise DataError(f"{where}: expected a JSON object, found {_shown(record)}.{self._end}")
        allowed = record if known is None else known
        for key in record:
            if key not in allowed:
                raise DataError(f"{where}: {nearest('key', key, allowed)}{self._end}")
        self._record: Mapping[str, object] = record

    def mapping_of_all(self) -> dict[str, object]:
        """The whole record."""
        return dict(self._record)

    def __iter__(self) -> Iterator[str]:
        """The keys of the record."""
        return iter(self._record)

    def __contains__(self, key: object) -> bool:
        """Whether the record has the key."""
        return key in self._record

    def error(self, key: str, expected: str, found: object = None) -> DataError:
        """The error for `key`: where, expected and found (the value of `key` unless given)."""
        if found is None and key not in self._record:
            shown = "no such key"
        else:
            shown = _shown(self._record[key] if found is None else found)
        return DataError(f"{self.where}: {key}: expected {expected}, found {shown}.{self._end}")

    def get(self, key: str) -> object:
        """The raw value, None when absent."""
        return self._record.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a default it must be there and not blank."""
        value = self._record.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.error(key, "a string" if default is not None else "a non-empty string")
        return value

    def option(self, key: str, options: tuple[str, ...], default: str | None = None) -> str:
        """One of `options`."""
        value = self.text(key, default)
        if value not in options:
            raise self.error(key, f"one of {', '.join(options)}")
        return value

    def items(self, key: str, default: list[object] | None = None) -> list[object]:
        """A list; without a default it must be there."""
        value = self._record.get(key, default)
        if not isinstance(value, list):
            raise self.error(key, "a list")
        return value

    def number(self, key: str) -> float:
        """A number, which must be there."""
        value = self._record.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, "a number")
        return float(value)

    def texts(self, key: str, default: list[object] | None = None) -> tuple[str, ...]:
        """A list of strings that are not blank."""
        values = self.items(key, default)
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise self.error(key, "a list of non-empty strings")
        return tuple(cast("list[str]", values))

    def index(self, key: str) -> int | None:
        """An integer, None when absent or null."""
        value = self._record.get(key)
        if value is not None and type(value) is not int:
            raise self.error(key, "an integer or null")
        return value

    def count(self, key: str) -> int:
        """An integer of at least 0, which must be there."""
        value = self.index(key)
        if value is None or value < 0:
            raise self.error(key, "an integer of at least 0")
        return value

    def flag(self, key: str) -> bool:
        """A JSON boolean, false when absent."""
        value = self._record.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def child(self, key: str) -> Fields:
        """A nested object."""
        if not isinstance(self._record.get(key), Mapping):
            raise self.error(key, "an object")
        return Fields(self._record[key], f"{self.where}: {key}", hint=self.hint)

    def children(
        self, key: str, known: Collection[str] | None = None, default: list[object] | None = None
    ) -> list[Fields]:
        """A list of nested objects, of `known` keys where these are given."""
        return [
            Fields(entry, f"{self.where}: {key}[{i}]", known, self.hint)
            for i, entry in enumerate(self.items(key, default))
        ]

    def mapping(self, key: str) -> dict[str, object]:
        """A JSON object, empty when absent."""
        value = self._record.get(key, {})
        if not isinstance(value, Mapping):
            raise self.error(key, "a JSON object")
        return dict(value)


def parse_json(text: str | bytes, where: str, hint: str = "") -> object:
    """What JSON text holds; `where` starts the error and `hint` ends it.

    Raises:
        DataError: no JSON, not UTF-8, or nested too deep.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig", "surrogatepass")
        return cast(object, json.loads(text))
    except (ValueError, RecursionError) as error:
        end = f" {hint}" if hint else ""
        raise DataError(f"{where}: expected JSON, found: {error}.{end}") from error


def strict_json(text: str) -> object:
    """What JSON text holds that says everything once and has no NaN.

    Raises:
        ValueError: it is not such.
        RecursionError: nested too deep.
    """
    return cast(object, json.loads(text, parse_constant=_refuse, object_pairs_hook=_once))


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} twice in one object")
    return found


def read_object(path: Path) -> Fields:
    """The JSON object that a file holds.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    return Fields(parse_json(raw, str(path)), str(path))


def whole_lines(path: Path) -> Iterator[tuple[str, Fields]]:
    """The lines of a file that a run appends to, each with the JSON object it holds.

    A last line without its end was never finished, and is left out; so is a file that is not there.

    Raises:
        DataError: a whole line that holds something else, named by its number.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n") and line.strip():
                where = f"{path}, line {number}"
                record = Fields(parse_json(line, where), where)
                yield line.decode("utf-8", "surrogatepass"), record


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"

"""Reads publishers' files: JSON, JSON lines and CSV, parsed once per process.

Every error names the file and the record, what was expected, what was found, and where to get a
good copy.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from finemem_env.errors import DataError
from finemem_env.fields import Fields

__all__ = ["bucket", "parsed", "read_csv", "read_json", "read_jsonl", "read_lines", "read_list"]

T = TypeVar("T")
P = TypeVar("P", Path, tuple[Path, ...])


def parsed(parse: Callable[[P, str], T], source: P, hint: str) -> T:
    """`parse(source, hint)`, computed once per process and state of the files (time and size).

    `source` is a path or a tuple of paths.
    """
    paths = (source,) if isinstance(source, Path) else source
    stamps = tuple((stat.st_mtime_ns, stat.st_size) for stat in (path.stat() for path in paths))
    absolute = tuple(path.absolute() for path in paths)
    key = absolute[0] if isinstance(source, Path) else absolute
    return cast(T, _parsed(parse, key, hint, stamps))


@lru_cache(maxsize=1024)
def _parsed(
    parse: Callable[..., object],
    source: Path | tuple[Path, ...],
    hint: str,
    stamps: tuple[tuple[int, int], ...],
) -> object:
    return parse(source, hint)


def bucket(key: str, count: int) -> int:
    """Which of `count` equal parts the document `key` belongs to, the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % count


def read_json(path: Path, hint: str) -> object:
    """The parsed content of a JSON file.

    Raises:
        DataError: the file cannot be read, or is not UTF-8 JSON.
    """
    return _loads(_text(path, hint), str(path), hint)


def read_list(path: Path, hint: str) -> list[Fields]:
    """The objects of a JSON file that is one list, each knowing its number.

    Raises:
        DataError: the file cannot be read, or is not a list of at least one object.
    """
    records = read_json(path, hint)
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else type(records).__name__
        raise DataError(f"{path}: expected a list of records, found {found}. {hint}")
    return [Fields(record, f"{path}: record {i}", hint=hint) for i, record in enumerate(records)]


def read_jsonl(path: Path, hint: str) -> list[Fields]:
    """The objects of a JSON lines file, each knowing its line.

    Raises:
        DataError: the file cannot be read, a line is not a JSON object, or there is none.
    """
    records = [
        Fields(_loads(line, f"{path}, line {number}", hint), f"{path}, line {number}", hint=hint)
        for number, line in enumerate(_text(path, hint).split("\n"), start=1)
        if line.strip()
    ]
    if not records:
        raise DataError(f"{path}: expected one JSON object a line, found an empty file. {hint}")
    return records


def read_lines(path: Path, hint: str, encoding: str = "utf-8-sig") -> list[str]:
    """The lines of a text file.

    Raises:
        DataError: the file cannot be read in this encoding.
    """
    return [line.removesuffix("\r") for line in _text(path, hint, encoding).split("\n")]


def read_csv(path: Path, columns: Sequence[str], hint: str, delimiter: str = ",") -> list[Fields]:
    """The rows of a CSV file with a header, each knowing its row number (1 = first after it).

    Raises:
        DataError: the file cannot be read, lacks one of `columns`, or has no rows.
    """
    # strict: an unclosed quote would otherwise swallow the rest of the file without a word.
    reader = csv.DictReader(
        io.StringIO(_text(path, hint), newline=""), strict=True, delimiter=delimiter
    )
    try:
        for column in columns:
            if column not in (reader.fieldnames or ()):
                raise DataError(
                    f"{path}: expected a column {column!r}, found "
                    f"{', '.join(map(repr, reader.fieldnames or ())) or 'none'}. {hint}"
                )
        rows = [
            Fields(row, f"{path}, row {number}", hint=hint)
            for number, row in enumerate(reader, start=1)
        ]
    except csv.Error as error:
        raise DataError(f"{path}: expected CSV, found: {error}. {hint}") from error
    if not rows:
        raise DataError(f"{path}: expected at least one row, found only the header. {hint}")
    return rows


def _text(path: Path, hint: str, encoding: str = "utf-8-sig") -> str:
    try:
        return path.read_bytes().decode(encoding)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}. {hint}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, found {error}. {hint}") from error


def _loads(text: str, where: str, hint: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected JSON, found: {error}. {hint}") from error

"""Reads publishers' files: JSON, JSON lines and CSV, parsed once per process.

Every error names the file and the record, what was expected, what was found, and where to get a
good copy. A `Reading` says what becomes of a flawed record: an error, or left out and noted.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar, cast

from finemem_env.errors import DataError
from finemem_env.fields import Fields, parse_json

T = TypeVar("T")
R = TypeVar("R")
P = TypeVar("P", Path, tuple[Path, ...])


@dataclass(slots=True)
class Reading:
    """How files are read: where good ones are, and what becomes of a flawed record.

    `hint` ends every error (where to get the file). `skip`: leave a flawed record out instead of
    raising. `flaws`: one line for each that was left out, with its file and place.
    """

    hint: str
    skip: bool = False
    flaws: list[str] = field(default_factory=list)

    def each(self, make: Callable[[R], T], records: Iterable[R]) -> list[T]:
        """`make` of every record, without those that it refuses where they may be left out.

        Raises:
            DataError: a record that is refused, unless `skip`.
        """
        made = []
        for record in records:
            try:
                made.append(make(record))
            except DataError as error:
                if not self.skip:
                    raise
                self.note([str(error).removesuffix(f" {self.hint}")])
        return made

    def note(self, flaws: Iterable[str]) -> None:
        """Remember flaws, each once."""
        self.flaws += [flaw for flaw in dict.fromkeys(flaws) if flaw not in self.flaws]


def parsed(parse: Callable[[P, Reading], T], source: P, reading: Reading) -> T:
    """`parse(source, reading)`, computed once per process and state of the files (time and size).

    `source` is a path or a tuple of paths. Flaws are noted in `reading` every time.

    Raises:
        DataError: from `parse`, or every record was left out.
    """
    paths = (source,) if isinstance(source, Path) else source
    stamps = tuple((stat.st_mtime_ns, stat.st_size) for stat in (path.stat() for path in paths))
    absolute = tuple(path.absolute() for path in paths)
    key = absolute[0] if isinstance(source, Path) else absolute
    value, flaws = _parsed(parse, key, reading.hint, reading.skip, stamps)
    reading.note(flaws)
    return cast(T, value)


@lru_cache(maxsize=1024)
def _parsed(
    parse: Callable[..., object],
    source: Path | tuple[Path, ...],
    hint: str,
    skip: bool,
    stamps: tuple[tuple[int, int], ...],
) -> tuple[object, tuple[str, ...]]:
    reading = Reading(hint, skip)
    value = parse(source, reading)
    flaws = reading.flaws
    if flaws and not value:
        raise DataError(
            f"{flaws[0]} So are all {len(flaws)} records that were read, and none is left. {hint}"
        )
    return value, tuple(flaws)


def bucket(key: str, count: int) -> int:
    """Which of `count` equal parts the document `key` belongs to, the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % count


def split_of(key: str) -> str:
    """The split of the document `key`: 80/10/10 by a hash of it."""
    part = bucket(key, 10)
    return "train" if part < 8 else "val" if part == 8 else "test"


def read_json(path: Path, reading: Reading) -> object:
    """The parsed content of a JSON file.

    Raises:
        DataError: the file cannot be read, or is not UTF-8 JSON.
    """
    return parse_json(_text(path, reading.hint), str(path), reading.hint)


def read_list(path: Path, reading: Reading) -> list[Fields]:
    """The objects of a JSON file that is one list, each knowing its number.

    Raises:
        DataError: the file cannot be read, or is not a list of at least one object.
    """
    records = read_json(path, reading)
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else type(records).__name__
        raise DataError(f"{path}: expected a list of records, found {found}. {reading.hint}")

    def made(numbered: tuple[int, object]) -> Fields:
        return Fields(numbered[1], f"{path}: record {numbered[0]}", hint=reading.hint)

    return reading.each(made, enumerate(records))


def read_jsonl(path: Path, reading: Reading) -> list[Fields]:
    """The objects of a JSON lines file, each knowing its line.

    Raises:
        DataError: the file cannot be read, a line is not a JSON object, or there is none.
    """
    hint = reading.hint
    lines = [
        (f"{path}, line {number}", line)
        for number, line in enumerate(_text(path, hint).split("\n"), start=1)
        if line.strip()
    ]
    if not lines:
        raise DataError(f"{path}: expected one JSON object a line, found an empty file. {hint}")

    def made(placed: tuple[str, str]) -> Fields:
        return Fields(parse_json(placed[1], placed[0], hint), placed[0], hint=hint)

    return reading.each(made, lines)


@cache
def each_record(
    make: Callable[[Fields], T], read: Callable[[Path, Reading], list[Fields]] = read_jsonl
) -> Callable[[Path, Reading], tuple[T, ...]]:
    """What `parsed` takes for a file of records that are read one by one."""
    return lambda path, reading: tuple(reading.each(make, read(path, reading)))


def read_lines(path: Path, reading: Reading, encoding: str = "utf-8-sig") -> list[str]:
    """The lines of a text file.

    Raises:
        DataError: the file cannot be read in this encoding.
    """
    text = _text(path, reading.hint, encoding)
    return [line.removesuffix("\r") for line in text.split("\n")]


def read_csv(
    path: Path, columns: Sequence[str], reading: Reading, delimiter: str = ","
) -> list[Fields]:
    """The rows of a CSV file with a header, each knowing its row number (1 = first after it).

    Raises:
        DataError: the file cannot be read, lacks one of `columns`, or has no rows.
    """
    hint = reading.hint
    # strict: an unclosed quote would otherwise swallow the rest of the file without a word.
    text = _text(path, hint)
    limit = csv.field_size_limit(len(text) + 1)  # a document may be a book
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        names = list(reader.fieldnames or ())
        for column in columns:
            if names.count(column) != 1:
                raise DataError(
                    f"{path}: expected {'a' if column not in names else 'one'} column {column!r}, "
                    f"found {', '.join(map(repr, names)) or 'none'}. {hint}"
                )
        rows = [
            Fields(row, f"{path}, row {number}", hint=hint)
            for number, row in enumerate(reader, start=1)
        ]
    except csv.Error as error:
        raise DataError(f"{path}: expected CSV, found: {error}. {hint}") from error
    finally:
        csv.field_size_limit(limit)
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

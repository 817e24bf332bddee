"""Rows of parquet files: local ones through pyarrow, those of a hub through `datasets`.

Both need the extra `data` and are imported when they are used. A published set may be edited in
place, so what was read is pinned: the commit of the hub, and a hash of the rows themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from finemem_env.data.files import Reading, parsed
from finemem_env.errors import ConfigError, DataError
from finemem_env.extras import load
from finemem_env.fields import Fields

_WHAT = "parquet data"
_SHARD = re.compile(r"-\d+-of-(\d+)(?=\.parquet$)")

Check = Callable[[Fields], object]
"""Raises a DataError for a row that cannot be used."""


@dataclass(frozen=True, slots=True)
class ParquetRow:
    """One row: its values by column, and the SHA-256 of them as JSON. Rows are counted from 0."""

    fields: Fields
    sha256: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one split: `commit` of the hub ("local" for files), `sha256` of the content."""

    rows: tuple[ParquetRow, ...]
    commit: str
    sha256: str

    @classmethod
    def of(cls, rows: Sequence[ParquetRow], commit: str) -> Rows:
        """With the hash of all rows, the same for files and for the hub's copy of them."""
        whole = hashlib.sha256("\n".join(row.sha256 for row in rows).encode())
        return cls(tuple(rows), commit, whole.hexdigest())

    @property
    def provenance(self) -> dict[str, str]:
        """What a run records of its data."""
        return {"commit": self.commit, "sha256": self.sha256}


def given_path(path: str, hint: str) -> Path:
    """A parquet file, or a folder of them, that the user named.

    Raises:
        DataError: neither is there.
    """
    given = Path(path)
    if given.is_dir() or (given.suffix == ".parquet" and given.is_file()):
        return given
    raise DataError(f"{path}: expected a folder or a file *.parquet that exists. {hint}")


def one_set(files: Sequence[Path], hint: str) -> list[Path]:
    """`files`, which must be one file or all the shards (NAME-00000-of-00002.parquet) of one.

    Raises:
        DataError: several files that are not shards of one, or shards that are missing.
    """
    shards = [_SHARD.search(path.name) for path in files]
    folders = {(path.parent, _SHARD.sub("", path.name)) for path in files}
    named = [match for match in shards if match]
    if len(folders) == 1 and len(named) == len(files) == int(named[0][1] if named else 0):
        return list(files)
    if len(files) == 1 and not named:
        return list(files)
    names = ", ".join(path.name if len(folders) < 2 else str(path) for path in files)
    raise DataError(
        f"{files[0].parent}: expected one file, or every shard of one, found {names}; leave one "
        f"there or name it with difficulty={{'path': '…'}}. {hint}"
    )


def local_rows(
    files: Sequence[Path], columns: Sequence[str], reading: Reading, check: Check | None = None
) -> Rows:
    """The rows of `files` in order, read and checked once per process and state of the files.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: a file that is not parquet, lacks one of `columns`, has a row that fails `check`
            (unless such rows are left out), or no rows at all.
    """
    read = _reader(tuple(columns), check)
    rows = [row for file in files for row in parsed(read, file, reading)]
    return _whole(rows, "local", ", ".join(map(str, files)), reading.hint)


@lru_cache(maxsize=16)
def _reader(
    columns: tuple[str, ...], check: Check | None
) -> Callable[[Path, Reading], list[ParquetRow]]:
    """One function for equal arguments, by which `parsed` knows what it has read."""

    def read(path: Path, reading: Reading) -> list[ParquetRow]:
        parquet, arrow = load("pyarrow.parquet", _WHAT), load("pyarrow", _WHAT)
        try:
            table = parquet.read_table(path)
        except (OSError, arrow.ArrowInvalid) as error:
            raise DataError(f"{path}: expected a parquet file: {error}. {reading.hint}") from error
        _check_columns(table.column_names, columns, str(path), reading.hint)
        return _rows(table.to_pylist(), str(path), reading, check)

    return read


def hub_rows(
    name: str,
    revision: str,
    split: str,
    columns: Sequence[str],
    reading: Reading,
    check: Check | None = None,
) -> Rows:
    """The rows of one split of a data set on the Hugging Face hub, or of a folder of its layout.

    Args:
        name: the hub id, or a folder with the data set's README and files.
        revision: a commit, tag or branch; required for a hub id. What it resolves to is recorded.
        split: the data set's own name of the split.
        columns: columns that must be there.
        reading: where to get the data, and what becomes of flawed rows.
        check: of every row.

    Raises:
        ConfigError: `datasets` is not installed, or a hub id without a revision.
        DataError: no such data set, split or column, or a row that fails `check`.
    """
    if not revision and not Path(name).is_dir():
        raise ConfigError(
            f"hub={name!r} needs a revision, best a commit: the set is edited in place, and "
            "scores on one state of it do not compare with another's."
        )
    rows, flaws = _hub_rows(
        name, revision, split, tuple(columns), reading.hint, reading.skip, check
    )
    reading.note(flaws)
    return rows


@lru_cache(maxsize=16)
def _hub_rows(
    name: str,
    revision: str,
    split: str,
    columns: tuple[str, ...],
    hint: str,
    skip: bool,
    check: Check | None,
) -> tuple[Rows, tuple[str, ...]]:
    datasets = load("datasets", _WHAT)
    commit, where = _commit(name, revision), f"{name}, split {split!r}"
    options = {} if commit == "local" else {"revision": commit}
    try:
        data = datasets.load_dataset(name, split=split, **options)
    except Exception as error:  # whatever the hub's client raises
        raise DataError(f"{where}: cannot be loaded: {error}. {hint}") from error
    _check_columns(data.column_names, columns, where, hint)
    reading = Reading(hint, skip)
    rows = _rows(data, where, reading, check)
    return _whole(rows, commit, where, hint), tuple(reading.flaws)


def hub_file(name: str, revision: str, file: str) -> Path:
    """A file of a data set on the hub, or of a folder of its layout.

    Raises:
        ConfigError: huggingface_hub is not installed.
        DataError: there is no such file.
    """
    if Path(name).is_dir():
        return Path(name) / file
    hub = load("huggingface_hub", _WHAT)
    try:
        local = hub.hf_hub_download(name, file, repo_type="dataset", revision=revision)
    except Exception as error:
        raise DataError(f"{name}: {file} cannot be loaded: {error}.") from error
    return Path(local)


def _commit(name: str, revision: str) -> str:
    """The commit that `revision` stands for now."""
    if Path(name).is_dir():
        return "local"
    hub = load("huggingface_hub", _WHAT)
    try:
        return str(hub.HfApi().dataset_info(name, revision=revision).sha)
    except Exception as error:
        raise DataError(f"{name}, revision {revision!r}: cannot be reached: {error}.") from error


def _rows(
    records: Iterable[Mapping[str, Any]], where: str, reading: Reading, check: Check | None
) -> list[ParquetRow]:
    def made(numbered: tuple[int, Mapping[str, Any]]) -> ParquetRow:
        number, record = numbered
        fields = Fields(record, f"{where}, row {number} (counted from 0)", hint=reading.hint)
        if check is not None:
            check(fields)
        return ParquetRow(fields, _digest(record))

    return reading.each(made, enumerate(records))


def _check_columns(present: Iterable[str], wanted: Sequence[str], where: str, hint: str) -> None:
    names = list(present)
    for column in wanted:
        if column not in names:
            raise DataError(
                f"{where}: expected a column {column!r}, found {', '.join(map(repr, names))}. "
                f"{hint}"
            )


def _whole(rows: list[ParquetRow], commit: str, where: str, hint: str) -> Rows:
    if not rows:
        raise DataError(f"{where}: expected at least one row, found none. {hint}")
    return Rows.of(rows, commit)


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""Rows of parquet files: local ones through pyarrow, those of a hub through `datasets`.

Both need the extra `data` and are imported when they are used. A published set may be edited in
place, so what was read is pinned: the commit of the hub, and a hash of the rows themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from finemem_env.data.files import parsed
from finemem_env.errors import ConfigError, DataError
from finemem_env.extras import load

__all__ = ["Row", "Rows", "given_path", "hub_file", "hub_rows", "local_rows"]

_WHAT = "parquet data"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, and the SHA-256 of them as JSON."""

    values: Mapping[str, Any]
    sha256: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one split: `commit` of the hub ("local" for files), `sha256` of the content."""

    rows: tuple[Row, ...]
    commit: str
    sha256: str

    @classmethod
    def of(cls, rows: Sequence[Row], commit: str) -> Rows:
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
    found = Path(path)
    if found.is_dir() or (found.suffix == ".parquet" and found.is_file()):
        return found
    raise DataError(f"{path}: expected a folder or a file *.parquet that exists. {hint}")


def local_rows(files: Sequence[Path], columns: Sequence[str], hint: str) -> Rows:
    """The rows of `files` in order, parsed once per process and state of the files.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: a file that is not parquet, lacks one of `columns`, or no rows at all.
    """
    rows: list[Row] = []
    for file in files:
        found = parsed(_read_file, file, hint)
        _check_columns(found[0].values if found else columns, columns, str(file), hint)
        rows += found
    return _checked(rows, "local", ", ".join(map(str, files)), hint)


def hub_rows(name: str, revision: str, split: str, columns: Sequence[str], hint: str) -> Rows:
    """The rows of one split of a data set on the Hugging Face hub, or of a folder of its layout.

    Args:
        name: the hub id, or a folder with the data set's README and files.
        revision: a commit, tag or branch; required for a hub id. What it resolves to is recorded.
        split: the data set's own name of the split.
        columns: columns that must be there.
        hint: where to get the data, for errors.

    Raises:
        ConfigError: `datasets` is not installed, or a hub id without a revision.
        DataError: no such data set, split or column.
    """
    if not revision and not Path(name).is_dir():
        raise ConfigError(
            f"hub={name!r} needs a revision, best a commit: the set is edited in place, and "
            "scores on one state of it do not compare with another's."
        )
    return _hub_rows(name, revision, split, tuple(columns), hint)


@lru_cache(maxsize=16)
def _hub_rows(name: str, revision: str, split: str, columns: tuple[str, ...], hint: str) -> Rows:
    datasets = load("datasets", _WHAT)
    commit = _commit(name, revision)
    options = {} if commit == "local" else {"revision": commit}
    try:
        data = datasets.load_dataset(name, split=split, **options)
    except Exception as error:  # whatever the hub's client raises
        raise DataError(f"{name}, split {split!r}: cannot be loaded: {error}. {hint}") from error
    _check_columns(data.column_names, columns, f"{name}, split {split!r}", hint)
    return _checked(_rows(data), commit, f"{name}, split {split!r}", hint)


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
        found = hub.hf_hub_download(name, file, repo_type="dataset", revision=revision)
    except Exception as error:
        raise DataError(f"{name}: {file} cannot be loaded: {error}.") from error
    return Path(found)


def _commit(name: str, revision: str) -> str:
    """The commit that `revision` stands for now."""
    if Path(name).is_dir():
        return "local"
    hub = load("huggingface_hub", _WHAT)
    try:
        return str(hub.HfApi().dataset_info(name, revision=revision).sha)
    except Exception as error:
        raise DataError(f"{name}, revision {revision!r}: cannot be reached: {error}.") from error


def _read_file(path: Path, hint: str) -> list[Row]:
    parquet = load("pyarrow.parquet", _WHAT)
    arrow = load("pyarrow", _WHAT)
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowInvalid) as error:
        raise DataError(f"{path}: expected a parquet file: {error}. {hint}") from error
    return _rows(table.to_pylist())


def _rows(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    return [Row(record, _digest(record)) for record in records]


def _check_columns(found: Iterable[str], wanted: Sequence[str], where: str, hint: str) -> None:
    names = list(found)
    for column in wanted:
        if column not in names:
            raise DataError(
                f"{where}: expected a column {column!r}, found {', '.join(map(repr, names))}. "
                f"{hint}"
            )


def _checked(rows: list[Row], commit: str, where: str, hint: str) -> Rows:
    if not rows:
        raise DataError(f"{where}: expected at least one row, found none. {hint}")
    return Rows.of(rows, commit)


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

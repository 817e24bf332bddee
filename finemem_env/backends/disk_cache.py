"""Replies on disk under the hash of what was asked, shared by any number of processes.

One SQLite file with the rollback journal, which also holds on file systems without shared memory.
Only replies are kept, never failures. The file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from finemem_env.errors import ConfigError

_FORMAT = 1
_WAIT = 120.0  # seconds to wait for another process that writes
_MANY = 500  # SQLite limits the variables of one query


def content_key(text: str) -> bytes:
    """SHA-256 of `text`, 32 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class DiskCache:
    """Texts by 32-byte key.

    Picklable and safe across threads and forks: each gets a connection of its own.

    Args:
        path: the SQLite file, made with its folder when it is not there.

    Raises:
        ConfigError: the file cannot be opened, or it is not such a cache.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        self._local = threading.local()
        self._connection()

    def __reduce__(self) -> tuple[type[DiskCache], tuple[str]]:
        """Pickle the path alone."""
        return DiskCache, (str(self.path),)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, str]:
        """The texts that are there, by key.

        Raises:
            ConfigError: the file was damaged.
        """
        wanted = list(dict.fromkeys(keys))
        texts: dict[bytes, str] = {}
        for start in range(0, len(wanted), _MANY):
            part = wanted[start : start + _MANY]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, value FROM replies WHERE key IN ({marks})"
            with self._explained():
                texts.update(self._connection().execute(query, part).fetchall())
        return texts

    def put(self, entries: Sequence[tuple[bytes, str]]) -> None:
        """Store texts in one transaction; the first text under a key stays.

        Raises:
            ConfigError: the disk is full, or the file was damaged.
        """
        with self._explained(), self._connection() as connection:
            connection.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?)", entries)

    def __len__(self) -> int:
        """How many texts are stored."""
        with self._explained():
            count: int = self._connection().execute("SELECT count(*) FROM replies").fetchone()[0]
        return count

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        connection = getattr(self._local, "connection", None)
        if connection is not None and self._local.pid == os.getpid():
            connection.close()
        self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; one that came through a fork must not be used."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None or self._local.pid != os.getpid():
            connection = self._open()
            self._local.connection, self._local.pid = connection, os.getpid()
        return connection

    def _open(self) -> sqlite3.Connection:
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_WAIT)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """A full disk or a file that is damaged is one line, also when it was opened long ago."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"cache {self.path}: cannot be used ({error}); free some space, delete it or name "
                "another file."
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _FORMAT):
            raise sqlite3.DatabaseError(f"format {version}, expected {_FORMAT}")
        connection.execute("PRAGMA synchronous=NORMAL")
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS replies"
                " (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA user_version={_FORMAT}")

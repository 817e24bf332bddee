"""Files that appear whole or not at all, and that are no input; folders that one process writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from finemem_env.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows: nothing is held there
    fcntl = None  # type: ignore[assignment]

__all__ = ["check_output", "claimed", "hold", "write_whole"]

_DATA = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".csv", ".tsv", ".parquet")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file aside and put it in its place, so that a full disk leaves the earlier one.

    A link is followed; a device or pipe is written to as it is.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.writing")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def check_output(out: Path, *read: Path) -> None:
    """Refuse an output that would replace what is read, or data in a folder that is read.

    Raises:
        ConfigError: it is such a file.
    """
    if not out.is_file():
        return
    whole = Path(os.path.realpath(out))
    for path in read:
        own = Path(os.path.realpath(path))
        if whole == own or (whole.is_relative_to(own) and whole.name.endswith(_DATA)):
            raise ConfigError(f"{out} belongs to {path}, which is read: choose another file.")


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder, and keep every other process that asks out of it.

    A folder that was made for this and is empty at the end goes away again. The claim ends with the
    process, however that ends.

    Raises:
        ConfigError: another process has it.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        hold(handle, folder)
        yield
    finally:
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def hold(handle: int, place: Path) -> None:
    """Lock an open file or folder until it is closed.

    Raises:
        ConfigError: another process holds it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"{place}: another process writes there now. Wait for it, or choose another place."
        ) from error
    except OSError:  # a file system without locks
        return

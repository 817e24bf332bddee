"""A Letta server of this process, in a folder of its own, with SQLite.

It ends when the process that started it does, however that ends, and takes the folder with it.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from finemem_env.errors import ConfigError

_START = 300.0  # seconds: its first import compiles some thousands of files


def own_server() -> str:
    """The address of the server of this process, started when there is none.

    Raises:
        ConfigError: it ended, or did not answer in time, with the last line that it wrote.
    """
    url, process = _started()
    if process.poll() is not None:
        _started.cache_clear()
        url, _ = _started()
    return url


@functools.cache
def _started() -> tuple[str, subprocess.Popen[bytes]]:
    folder = Path(tempfile.mkdtemp(prefix="finemem-letta-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", f"import {__name__} as it; it.serve({port}, {str(folder)!r})"],
            # Its pipe closes with this process.
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | {"HOME": str(folder), "LETTA_DIR": str(folder / "letta")},
        )
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < end:
        if _answers(url):
            return url, process
        time.sleep(0.2)
    process.kill()
    last = (folder / "log").read_text(errors="replace").strip().rpartition("\n")[2]
    raise ConfigError(f"store 'letta': its server did not start: {last:.300}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v1/health/", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def serve(port: int, folder: str) -> None:
    """Serve until standard input ends."""
    os.chdir(folder)  # it writes its interface down where it is
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    from letta.orm.archives_agents import ArchivesAgents
    from sqlalchemy import DefaultClause, text

    # Its own is the text "now()", which SQLite keeps as it is: no passage could be written.
    created = ArchivesAgents.__table__.c.created_at
    created.server_default = DefaultClause(text("CURRENT_TIMESTAMP"))
    from letta.server.rest_api.app import start_server

    start_server(port=port, host="127.0.0.1")


def _end_with_parent(folder: str) -> None:
    sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)

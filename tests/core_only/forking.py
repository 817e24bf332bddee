"""`python -m` for many programs: a fork of one process that has imported what they share."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys

for _shared in ("agents.runs.console", "agents.runs.options", "baselines.runs.run"):
    importlib.import_module(_shared)


def serve() -> list[str]:
    """Print the exit code of each command; return, in a process of its own, each command."""
    for line in sys.stdin:
        cwd, output, errors, *command = json.loads(line)
        process = os.fork()
        if process == 0:
            os.chdir(cwd)
            for target, path in enumerate((os.devnull, output, errors)):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), target)
            return [str(word) for word in command]
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


if __name__ == "__main__":
    sys.argv = serve()
    sys.path[0] = os.getcwd()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

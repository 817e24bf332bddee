"""Print the data hashes of suites, to be pinned in suite_hashes.py: `python -m baselines.pin`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from baselines.runs.run import task_hashes
from baselines.suites import SUITES
from finemem_env.errors import FineMemError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code (2 for an unknown suite)."""
    parser = argparse.ArgumentParser(prog="python -m baselines.pin", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"{', '.join(SUITES)} (default: all)")
    names = parser.parse_args(arguments).suite or list(SUITES)
    try:
        print(json.dumps({name: task_hashes(name) for name in names}, indent=4))
    except FineMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

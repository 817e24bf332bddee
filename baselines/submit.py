"""Put a run into one file for a leaderboard: `python -m baselines.submit RUN FILE.json.gz`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.runs.submission import write_submission
from finemem_env.errors import FineMemError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 when there is no run."""
    parser = argparse.ArgumentParser(prog="python -m baselines.submit", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("file", type=Path, help="what to write, .json or .json.gz")
    given = parser.parse_args(arguments)
    try:
        write_submission(given.run, given.file)
    except (FineMemError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {given.file} ({given.file.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

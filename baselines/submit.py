"""Put a run into one file for a leaderboard: `python -m baselines.submit RUN FILE.json.gz`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.runs.submission import write_submission
from finemem_env.cli.frame import command, program, saving


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file."""
    parser = program("baselines.submit", __doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("file", type=Path, help="what to write, .json or .json.gz")
    options = parser.parse_args(arguments)
    with saving(options.file, f"{options.file} is not written; the run is as it was."):
        write_submission(options.run, options.file)
    print(f"written to {options.file} ({options.file.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

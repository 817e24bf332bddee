"""Print the data hashes of suites, to be pinned in suite_hashes.py: `python -m baselines.pin`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from baselines.runs.run import task_hashes
from baselines.suites import SUITES
from finemem_env.cli.frame import command, program

__all__ = ["main"]


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the hashes as JSON."""
    parser = program("baselines.pin", __doc__)
    parser.add_argument("suite", nargs="*", help=f"{', '.join(SUITES)} (default: all)")
    names = parser.parse_args(arguments).suite or list(SUITES)
    print(json.dumps({name: task_hashes(name) for name in names}, indent=4))
    return 0


if __name__ == "__main__":
    sys.exit(main())

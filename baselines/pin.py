"""Print the data hashes of suites, to be pinned in suite_hashes.py: `python -m baselines.pin`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from baselines.runs.run import suite_data
from baselines.suites import SUITES
from finemem_env.cli.frame import command, program


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the hashes as JSON."""
    parser = program("baselines.pin", __doc__)
    parser.add_argument("suite", nargs="*", help=f"{', '.join(SUITES)} (default: all)")
    names = parser.parse_args(arguments).suite or list(SUITES)
    hashes = {
        name: {task: data.data_hash for task, data in suite_data(name).items()} for name in names
    }
    print(json.dumps(hashes, indent=4))
    return 0


if __name__ == "__main__":
    sys.exit(main())

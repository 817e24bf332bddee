"""Put the shards of a run together: `python -m baselines.merge SHARD ... --output-dir DIR`.

DIR is then the folder that the run would have left without --shard: the same files, byte for byte
but for what the clock measured. Every shard must be there once and be done.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.runs.options import print_run
from baselines.runs.shards import merge
from finemem_env.cli.frame import command, program, saving


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the whole run and print its table."""
    parser = program("baselines.merge", __doc__)
    parser.add_argument("shard", type=Path, nargs="+", help="folder of a run with --shard I/N")
    parser.add_argument(
        "--output-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="a new folder for the whole run",
    )
    options = parser.parse_args(arguments)
    with saving(options.output_dir, "The shards are as they were: the same command begins anew."):
        rows = merge(options.shard, options.output_dir)
    print_run(rows, options.output_dir)
    print(f"written to {options.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

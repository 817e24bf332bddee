"""What --overlap saves on your servers: `python -m benchmarks.overlap --sampler URL`.

Trains the same run without it and with it and prints seconds per update. The first update and the
last one are left out: one draws two batches, the other none ahead.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from agents.runs.config import PRESETS, TrainConfig
from agents.runs.curves import read_curve
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.options import at_least, json_object
from finemem_env.cli.progress import Progress, begin
from finemem_env.cli.tables import markdown_table
from finemem_env.errors import ConfigError
from finemem_env.extras import require

SHOWN = ("total", "wait", "sample", "update")
SETTINGS: dict[str, Any] = {"eval_every": 0, "eval_episodes": 1, "final_episodes": 0}


def seconds(folder: Path) -> dict[str, float]:
    """Mean seconds of a run's updates by part, without the first and the last one."""
    curves = {key: read_curve(folder, f"time/{key}")[1:-1] for key in SHOWN}
    return {key: fmean(took for _, took in curve) for key, curve in curves.items()}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Train twice and print the table."""
    parser = program("benchmarks.overlap", __doc__)
    add = parser.add_argument
    add("--sampler", required=True, metavar="URL", help="vLLM servers, with commas between")
    add("--updates", type=at_least(3), default=8, help="of each run")
    add("--preset", choices=sorted(PRESETS), default="cpu", help="starting values")
    add("--set", type=json_object, default={}, metavar="JSON", help="other settings of agents.grpo")
    add(
        "--output-dir",
        type=Path,
        default=Path("runs/overlap"),
        metavar="DIR",
        help="a new folder for both runs, which the servers see under the same path",
    )
    options = parser.parse_args(arguments)
    base = {**PRESETS[options.preset], **SETTINGS, **options.set, "updates": options.updates}
    base |= {"sampler": options.sampler}
    configs = [TrainConfig(**{**base, "overlap": overlap}) for overlap in (0, 1)]
    if options.output_dir.exists():
        raise ConfigError(f"{options.output_dir} is there already: choose another folder.")
    require(("torch", "transformers"), "training", "train")
    from agents.learn.distributed import World
    from agents.trainer import Run

    rows = []
    count = options.updates
    begin(f"{count} updates without overlap, {count} with it", options.output_dir)
    with saving(options.output_dir, "Nothing to go on with."), Progress(2, "run") as progress:
        for config in configs:
            folder = options.output_dir / f"overlap-{config.sampling.overlap}"
            run = Run.start(config, folder, resume=False, world=World())
            run.train()
            run.close()
            took = seconds(folder)
            rows.append([str(config.sampling.overlap), *(f"{took[key]:.2f}" for key in SHOWN)])
            progress(f"{took['total']:.2f} s an update")
    print(markdown_table(["overlap", *(f"{key} [s]" for key in SHOWN)], rows, padded=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())

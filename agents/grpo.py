"""Train an LLM memory manager with per-step, group-relative advantages: `python -m agents.grpo`.

Without arguments: a small packaged model learns on the CPU, in minutes and without a download, to
keep what will be asked. The loop itself is `agents/trainer.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs.console import run_folder, signals
from agents.runs.options import Chosen, add_arguments, parse_config
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.progress import Progress
from finemem_env.extras import needs

if TYPE_CHECKING:
    from agents.learn.distributed import World

__all__ = ["main"]


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 for a setting that does not fit, 130 after a signal."""
    parser = program("agents.grpo", __doc__)
    parser.add_argument("--output-dir", type=Path, help="folder of the run (default: runs/grpo-N)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint of --output-dir"
    )
    words = sys.argv[1:] if arguments is None else list(arguments)
    add_arguments(parser, words)
    given = parser.parse_args(words)
    chosen = parse_config(given)
    folder = run_folder(given.output_dir, resume=given.resume)
    with needs("training", "train"):
        from agents.learn.distributed import World
    world = World.start()
    try:
        with saving(folder, f"Go on with --resume --output-dir {folder}."):
            return _run(chosen, folder, world, resume=given.resume)
    finally:
        world.stop()


def _run(chosen: Chosen, folder: Path, world: World, *, resume: bool) -> int:
    from agents.trainer import Interrupted, Run, TrainingError

    total = chosen.config.optimizer.updates
    with signals(again=world.size > 1) as stop:
        run = Run.start(chosen.config, folder, resume=resume, world=world)
        run.stop = stop
        if world.main:
            print(_headline(chosen, folder, run.position.update))
            settings = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
            print(f"environment: {json.dumps(settings, ensure_ascii=False)}")
        with Progress(total, "update", shown=world.main) as progress:
            progress.skip(run.position.update)
            try:
                run.train(lambda values: progress(_state(values)))
            except Interrupted:
                run.close()
                print(f"stopped; go on with --resume --output-dir {folder}", file=sys.stderr)
                return 130
            except TrainingError:
                run.close()
                raise
    table = run.finish()
    if world.main:
        print(table)
        print(f"written to {folder} (tensorboard --logdir {folder})")
    return 0


def _state(values: Mapping[str, float]) -> str:
    """The state of training beside the bar."""
    shown = {"reward": "return", "score": "score", "accepted": "accepted"}
    return ", ".join(f"{name} {values[f'rollout/{key}']:.2f}" for name, key in shown.items())


def _headline(chosen: Chosen, folder: Path, done: int) -> str:
    """What runs, in one line."""
    updates = chosen.config.optimizer.updates
    return (
        f"run: {folder} (preset {chosen.preset or 'none'}, model {chosen.config.model.model}, "
        f"{updates} updates, {done} done)"
    )


if __name__ == "__main__":
    sys.exit(main())

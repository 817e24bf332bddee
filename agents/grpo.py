"""Train an LLM memory manager with per-step, group-relative advantages: `python -m agents.grpo`.

Without arguments: a small packaged model learns on the CPU, in minutes and without a download, to
keep what will be asked. The loop itself is `agents/trainer.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs.config import TrainConfig, add_arguments, parse_config
from agents.runs.console import Progress, next_folder, signals
from finemem_env.errors import FineMemError
from finemem_env.extras import needs

if TYPE_CHECKING:
    from agents.learn.distributed import World

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 for a setting that does not fit, 130 after a signal."""
    parser = argparse.ArgumentParser(prog="python -m agents.grpo", description=__doc__)
    parser.add_argument("--output-dir", type=Path, help="folder of the run (default: runs/grpo-N)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    add_arguments(parser)
    given = parser.parse_args(arguments)
    try:
        config = parse_config(given)
        with needs("training", "train"):
            import agents.trainer  # noqa: F401 - torch and transformers take seconds
    except FineMemError as error:
        return _refuse(error)
    return _train(given, config)


def _refuse(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _train(given: argparse.Namespace, config: TrainConfig) -> int:
    from agents.learn.distributed import World

    world = World.start()
    try:
        return _run(given, config, world)
    except (FineMemError, OSError) as error:  # an OSError: the disk is full, a folder is not ours
        return _refuse(error)
    finally:
        world.stop()


def _run(given: argparse.Namespace, config: TrainConfig, world: World) -> int:
    from agents.trainer import Interrupted, Run, TrainingError

    folder = given.output_dir or next_folder(Path("runs"), "grpo", last=given.resume)
    with signals(again=world.size > 1) as stop:
        run = Run.start(config, folder, resume=given.resume, world=world)
        run.stop = stop
        if world.main:
            settings = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
            print(f"environment: {json.dumps(settings, ensure_ascii=False)}")
        with Progress(config.updates, run.position.update, shown=world.main) as progress:
            try:
                run.train(progress)
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


if __name__ == "__main__":
    sys.exit(main())

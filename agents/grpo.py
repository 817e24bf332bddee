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

from agents.runs.console import Progress, run_folder, signals
from agents.runs.options import Chosen, add_arguments, parse_config
from finemem_env.errors import FineMemError
from finemem_env.extras import needs

if TYPE_CHECKING:
    from agents.learn.distributed import World

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 for a setting that does not fit, 130 after a signal."""
    parser = argparse.ArgumentParser(prog="python -m agents.grpo", description=__doc__)
    parser.add_argument("--output-dir", type=Path, help="folder of the run (default: runs/grpo-N)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint of --output-dir"
    )
    words = sys.argv[1:] if arguments is None else list(arguments)
    add_arguments(parser, words)
    given = parser.parse_args(words)
    try:
        chosen = parse_config(given)
        folder = run_folder(given.output_dir, resume=given.resume)
        with needs("training", "train"):
            import agents.trainer  # noqa: F401 - torch and transformers take seconds
    except FineMemError as error:
        return _refuse(error)
    return _train(chosen, folder, resume=given.resume)


def _refuse(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _train(chosen: Chosen, folder: Path, *, resume: bool) -> int:
    from agents.learn.distributed import World

    world = World.start()
    try:
        return _run(chosen, folder, world, resume=resume)
    except (FineMemError, OSError) as error:  # an OSError: the disk is full, a folder is not ours
        return _refuse(error)
    finally:
        world.stop()


def _run(chosen: Chosen, folder: Path, world: World, *, resume: bool) -> int:
    from agents.trainer import Interrupted, Run, TrainingError

    config = chosen.config
    with signals(again=world.size > 1) as stop:
        run = Run.start(config, folder, resume=resume, world=world)
        run.stop = stop
        if world.main:
            print(_headline(chosen, folder, run.position.update))
            settings = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
            print(f"environment: {json.dumps(settings, ensure_ascii=False)}")
        with Progress(config.optimizer.updates, run.position.update, shown=world.main) as progress:
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


def _headline(chosen: Chosen, folder: Path, done: int) -> str:
    """What runs, in one line."""
    updates = chosen.config.optimizer.updates
    return (
        f"run: {folder} (preset {chosen.preset or 'none'}, model {chosen.config.model.model}, "
        f"{updates} updates, {done} done)"
    )


if __name__ == "__main__":
    sys.exit(main())

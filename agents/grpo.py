"""Train an LLM memory manager with per-step, group-relative advantages: `python -m agents.grpo`.

Without arguments: a small packaged model learns on the CPU, in minutes and without a download, to
keep what will be asked. The loop itself is `agents/trainer.py`.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs.console import run_folder, signals
from agents.runs.options import Chosen, add_arguments, parse_config
from agents.runs.unreached import unreached
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.options import add_verbose
from finemem_env.cli.progress import Progress, begin
from finemem_env.disk import claimed
from finemem_env.extras import needs

if TYPE_CHECKING:
    from agents.learn.distributed import World


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 for a setting that does not fit, 130 after a signal."""
    parser = program("agents.grpo", __doc__)
    parser.add_argument("--output-dir", type=Path, help="folder of the run (default: runs/grpo-N)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint of --output-dir"
    )
    add_verbose(parser)
    words = sys.argv[1:] if arguments is None else list(arguments)
    add_arguments(parser, words)
    options = parser.parse_args(words)
    chosen = parse_config(options)
    folder = run_folder(options.output_dir, resume=options.resume)
    with needs("training", "train"):
        from agents.learn.distributed import World
    world = World.start()
    try:
        hint = f"Go on with --resume --output-dir {folder}."
        with contextlib.ExitStack() as own, saving(folder, hint):
            with world.agreed():
                if world.main:
                    own.enter_context(claimed(folder))
            return _run(chosen, folder, world, resume=options.resume, verbose=options.verbose)
    finally:
        world.stop()


def _run(chosen: Chosen, folder: Path, world: World, *, resume: bool, verbose: bool) -> int:
    from agents.trainer import Interrupted, Run, TrainingError

    total = chosen.config.optimizer.updates
    with signals(again=world.size > 1) as stop:
        run = Run.start(chosen.config, folder, resume=resume, world=world)
        run.stop = stop
        if world.main:
            what = _what(chosen, run.position.update)
            begin(what, folder, _tensorboard(folder), unreached(chosen.config))
        if world.main and verbose:
            settings = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
            print(f"settings: {json.dumps(settings, ensure_ascii=False)}")
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
        print(f"written to {folder} ({_tensorboard(folder)})")
    return 0


def _state(values: Mapping[str, float]) -> str:
    """The state of training beside the bar."""
    shown = {"reward": "return", "score": "score", "accepted": "accepted"}
    known = [(name, values.get(f"rollout/{key}")) for name, key in shown.items()]
    return ", ".join(f"{name} {value:.2f}" for name, value in known if value is not None)


def _what(chosen: Chosen, done: int) -> str:
    """What runs, in one line."""
    config, kept = chosen.config, f", {done} of them done" if done else ""
    return (
        f"{config.optimizer.updates} updates{kept}: model {config.model.model} on "
        f"{config.environment.env}, preset {chosen.preset or 'none'}"
    )


def _tensorboard(folder: Path) -> str:
    """Of the folder around: TensorBoard names each run in it after its folder."""
    return shlex.join(["tensorboard", "--logdir", str(folder.parent)])


if __name__ == "__main__":
    sys.exit(main())

"""Which reward trains best: methods x tasks x seeds, cell by cell: `python -m agents.ablation`.

A method is a reward preset and a form of credit, and `state` where the rollouts of a group start
from one memory (docs/credit.md). A cell is one training run; its best weights are
then scored on held-out episodes of the training length and four times longer, beside skip and
oracle on the same episodes. A cell that is done is never run again, and one that was interrupted
goes on from its checkpoint. After every cell the folder gets `table.md`, `curves-TASK.svg` and
`scores-TASK.svg` of all cells so far. With --shard I/N the cells of one part are trained alone, in
a folder of its own or in one for all; --merge then makes the whole of what the parts gave.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import shutil
import sys
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from agents.runs.ablation_report import final_scores, mean_curves, table
from agents.runs.cells import METHODS, SETTINGS, TASKS, TASKS_HELP, Cell, plan_cells
from agents.runs.config import PRESETS, TrainConfig
from agents.runs.curves import read_curve
from agents.runs.load import load_run, read_config
from agents.runs.unreached import unreached
from baselines.tables.charts import bar_chart, curve_chart
from baselines.tables.drawing import save
from baselines.tables.results import Result
from finemem_env.cli.frame import Parser, command, program, saving
from finemem_env.cli.options import json_object, positive, seed
from finemem_env.cli.progress import Progress, begin
from finemem_env.cli.shards import add_parts, check_cells, check_there
from finemem_env.disk import claimed, write_whole
from finemem_env.errors import BackendError, ConfigError
from finemem_env.extras import needs, require
from finemem_env.fields import read_object

# What may differ between the machines of an ablation.
_MACHINE = ("save_every", "threads", "track", "sampler", "sampler_args")
RECORD = "cell.json"  # of a cell that is done
EVAL_SEED = 3
LONGER = 4
LENGTHS = {"same": 1, "longer": LONGER}
PLAYERS = ("skip", "oracle", "initial", "best")
_SHARED = PLAYERS[:3]  # by all cells of a task


def run_cell(
    cell: Cell,
    folder: Path,
    base: Mapping[str, Any],
    episodes: int,
    like: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train and score one cell, or read what it gave before.

    Args:
        cell: the cell.
        folder: of the ablation.
        base: settings of every cell.
        episodes: an evaluation.
        like: the record of another cell of this task: skip, oracle and the initial weights, which
            no method changes, are taken from it and not played again.

    Returns:
        The cell, its evaluations during training, and per length ("same", "longer") and player
        (skip, oracle, initial, best) the score and memory tokens of every episode.

    Raises:
        ConfigError: it was run before with other settings, or is run by another process now.
        DataError: what it gave before is no record of this cell.
    """
    path = folder / cell.name / RECORD
    if path.exists():
        return _finished(cell, folder / cell.name, base, episodes)
    config = cell.config(base)
    with needs("an ablation", "train"):
        from agents.learn.distributed import World
        from agents.trainer import Run
    with claimed(folder / cell.name):
        run = Run.start(config, folder / cell.name, resume=True, world=World())
        run.train()
        run.finish()
        curve = read_curve(folder / cell.name, "eval/score")
        result: dict[str, Any] = {**dataclasses.asdict(cell), "curve": curve}
        for length, factor in LENGTHS.items():
            known = {} if like is None else {name: like[length][name] for name in _SHARED}
            result[length] = {
                **known,
                **_score(config, folder / cell.name, factor, episodes, known),
            }
        write_whole(path, json.dumps(result) + "\n")
        return result


def merge(
    cells: Sequence[Cell],
    base: Mapping[str, Any],
    episodes: int,
    parts: Sequence[Path],
    folder: Path,
) -> list[dict[str, Any]]:
    """Copy what every finished cell of `parts` gave into `folder`; returns the records in order.

    Of a cell's folder its record, settings and metrics are copied, and no weights. After an
    interruption the same merging begins anew, also into a `folder` that is one of the parts.

    Raises:
        ConfigError: a cell that is missing or there twice, one of other settings, or a `folder`
            that is there and no part.
    """
    if folder.exists() and folder not in parts:
        raise ConfigError(f"{folder} is there already: choose another folder.")
    check_there(parts)
    there = {
        str(part): [cell.name for cell in cells if _adds(part / cell.name, folder / cell.name)]
        for part in parts
    }
    check_cells([cell.name for cell in cells], there)
    where = {name: Path(part) / name for part, names in there.items() for name in names}
    records = [_finished(cell, where[cell.name], base, episodes) for cell in cells]
    into = folder if folder in parts else folder.with_name(f".{folder.name}.merging")
    if into != folder:
        shutil.rmtree(into, ignore_errors=True)
    for cell in cells:
        (into / cell.name).mkdir(parents=True, exist_ok=True)
        for file in ("config.json", "environment.json", "metrics.jsonl", RECORD):
            source, target = where[cell.name] / file, into / cell.name / file
            if source.exists() and source != target:
                write_whole(target, source.read_bytes())
    if into != folder:
        into.rename(folder)
    return records


def _adds(place: Path, merged: Path) -> bool:
    """Whether a part has a cell, other than one that an earlier merging took from it."""
    record, taken = place / RECORD, merged / RECORD
    if not record.exists() or place == merged:
        return record.exists()
    return not (taken.exists() and taken.read_bytes() == record.read_bytes())


def _finished(cell: Cell, place: Path, base: Mapping[str, Any], episodes: int) -> dict[str, Any]:
    """What a cell gave; refuses one that was trained or scored with other settings than now."""
    stored, wanted = read_config(place).as_dict(), cell.config(base).as_dict()
    record = _record(cell, place / RECORD)
    differs = any(stored[key] != wanted[key] for key in wanted if key not in _MACHINE)
    if differs or len(record["same"]["best"]["scores"]) != episodes:
        raise ConfigError(
            f"{place} was trained or scored with other settings: give the --preset, --set and "
            "--episodes that it was started with (all shards have the same), or another folder."
        )
    return record


def _record(cell: Cell, path: Path) -> dict[str, Any]:
    """The record of this cell, every number of it checked."""
    record = read_object(path)
    for key, value in dataclasses.asdict(cell).items():
        if record.get(key) != value:
            raise record.error(key, repr(value))
    for pair in record.items("curve"):
        if not isinstance(pair, list) or list(map(type, pair)) not in ([int, float], [int, int]):
            raise record.error("curve", "pairs of an update and a score", pair)
    for played in (record.child(length).child(name) for length in LENGTHS for name in PLAYERS):
        for key in ("scores", "memory"):
            if not all(type(number) in (int, float) for number in played.items(key)):
                raise played.error(key, "a list of numbers")
    return record.mapping_of_all()


def _score(
    config: TrainConfig, folder: Path, factor: int, episodes: int, known: Container[str]
) -> dict[str, dict[str, list[float]]]:
    """Of the `PLAYERS` that are not known, what they get on episodes `factor` times as long."""
    from agents.runs.evaluation import (
        evaluate_policy,
        held_out,
        play_references,
        policy_results,
    )
    from agents.runs.source import sampling_of

    environment = config.environment
    env_args = environment.evaluation("test")
    env_args["num_chunks"] = factor * env_args.get("num_chunks", 10)
    sampling = sampling_of(config, config.evaluation.eval_temperature)
    seeds = held_out(environment.env, env_args, episodes, episodes, EVAL_SEED)
    missing = [name for name in PLAYERS if name not in known]
    references = [name for name in missing if name in ("skip", "oracle")]
    results = play_references(environment.env, env_args, seeds=seeds, agents=references)
    for label in [name for name in missing if name not in references]:
        policy = load_run(folder, label, trust=True)[1]  # of our own config
        played = evaluate_policy(
            policy, environment.env, env_args, seeds=seeds, seed=EVAL_SEED, sampling=sampling
        )
        results += policy_results(label, played, seeds)
    if failed := sum(result.status == "invalid" for result in results):
        raise BackendError(
            f"{folder.name}: the reader failed in {failed} of {len(results)} episodes, which have "
            "no score. Bring it back: the same command goes on."
        )
    return {
        label: _per_episode([result for result in results if result.agent == label])
        for label in missing
    }


def _per_episode(results: Sequence[Result]) -> dict[str, list[float]]:
    return {
        "scores": [round(float(result.score or 0.0), 6) for result in results],
        "memory": [float(result.memory_tokens or 0) for result in results],
    }


def _write(folder: Path, results: Sequence[dict[str, Any]]) -> None:
    """The table and the curves of the cells so far."""
    write_whole(folder / "table.md", table(results) + "\n")
    for task, curves in mean_curves(results).items():
        title = f"{task}: held-out score, mean over seeds with 95 % interval"
        save(curve_chart(curves, "update", title), folder / f"curves-{task}.svg")
    for task, scores in final_scores(results).items():
        title = f"{task}: score between skip and oracle, with 95 % interval"
        lengths = ("as long as in training", f"{LONGER} x longer")
        save(bar_chart(scores, lengths, title), folder / f"scores-{task}.svg")


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = _parser().parse_args(arguments)
    base = {**PRESETS[options.preset], **SETTINGS, **options.set}
    cells = plan_cells(options.methods, options.tasks, options.seeds, options.set)
    for cell in cells:
        cell.config(base)  # refuses settings that do not fit, of any cell, before one is trained
    if options.merge:
        results = merge(cells, base, options.episodes, options.merge, options.folder)
        _write(options.folder, results)
    else:
        results = _train_all(options.shard.take(cells) if options.shard else cells, base, options)
    if options.shard:
        print(f"shard {options.shard} is done: {len(results)} cells; --merge puts all together")
        return 0
    print(table(results))
    return 0


def _train_all(
    cells: Sequence[Cell], base: Mapping[str, Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """What every cell gave, those of before included."""
    results: list[dict[str, Any]] = []
    require(("torch", "transformers"), "an ablation", "train")
    watch = shlex.join(["tensorboard", "--logdir", str(options.folder)])
    said = unreached(cells[0].config(base)) if cells else ""
    begin(f"{len(cells)} trainings, one after the other", options.folder, watch, said)
    hint = "The same command goes on."
    with saving(options.folder, hint), Progress(len(cells), "cell") as progress:
        for cell in cells:
            like = next((result for result in results if result["task"] == cell.task), None)
            results.append(run_cell(cell, options.folder, base, options.episodes, like))
            if not options.shard:  # shards may share the folder, and the table is of all of them
                _write(options.folder, results)
            progress(_state(cell, results[-1]))
    return results


def _state(cell: Cell, result: Mapping[str, Any]) -> str:
    """A cell and the score of its best weights, beside the bar."""
    return f"{cell.name}: score {fmean(result['same']['best']['scores']):.2f}"


def _parser() -> Parser:
    parser = program("agents.ablation", __doc__)
    add = parser.add_argument
    add("folder", type=Path, help="folder of the ablation, new or to go on with")
    add(
        "--methods",
        nargs="+",
        default=METHODS,
        metavar="REWARD/CREDIT",
        help="reward presets with a form of credit; with /state behind it, local re-rollouts",
    )
    add(
        "--tasks",
        nargs="+",
        default=["few"],
        choices=list(TASKS),
        help=TASKS_HELP,
    )
    add("--seeds", nargs="+", type=seed, default=[0, 1, 2], help="one cell each")
    add("--episodes", type=positive, default=40, help="per evaluation of a cell")
    add("--preset", choices=sorted(PRESETS), default="cpu", help="starting values")
    add(
        "--set",
        type=json_object,
        default={},
        metavar="JSON",
        help=f"other settings of agents.grpo (default: {json.dumps(SETTINGS)})",
    )
    add_parts(parser, "DIR", "the folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Which reward trains best: rewards x tasks x seeds, cell by cell: `python -m agents.ablation`.

A cell is one training run with one reward; its best weights are then scored on held-out episodes of
the training length and four times longer, beside skip and oracle on the same episodes. A cell that
is done is never run again, and one that was interrupted goes on from its checkpoint. After every
cell the folder gets `table.md` and `curves.svg` of all cells so far.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.config import CPU_ENV_ARGS, PRESETS, TrainConfig, from_dict
from agents.distributed import World
from agents.evaluation import evaluate_policy, play_references, policy_results
from agents.grpo import Run
from agents.plot import read_curve, render_svg
from agents.rollout import Sampling
from agents.runs import load_run
from baselines.summary import summarise
from finemem_env.errors import FineMemError

__all__ = ["REWARDS", "TASKS", "Cell", "main", "run_cell", "table"]

REWARDS = ("outcome", "chunk", "fine-mem", "fine-mem-cited")
EVAL_SEED = 3
LONGER = 4

# Credit matters where episodes are long, few questions pay, and the budget binds.
TASKS: dict[str, dict[str, Any]] = {
    "short": dict(CPU_ENV_ARGS),
    "few": {
        **CPU_ENV_ARGS,
        "num_chunks": 10,
        "memory_budget": 0.3,
        "difficulty": {**CPU_ENV_ARGS["difficulty"], "questions": 5},
    },
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run of the ablation."""

    reward: str
    task: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.task}-{self.reward}-{self.seed}"

    def config(self, base: dict[str, Any]) -> TrainConfig:
        """The settings of its run."""
        return from_dict(
            {**base, "reward": self.reward, "env_args": TASKS[self.task], "seed": self.seed}
        )


def run_cell(cell: Cell, folder: Path, base: dict[str, Any], episodes: int) -> dict[str, Any]:
    """Train and score one cell, or read what it gave before."""
    path = folder / cell.name / "cell.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    config = dataclasses.replace(cell.config(base), final_episodes=0)
    run = Run.start(config, folder / cell.name, resume=True, world=World())
    run.train()
    run.finish()
    result: dict[str, Any] = dataclasses.asdict(cell)
    for length, factor in (("same", 1), ("longer", LONGER)):
        result[length] = _score(config, folder / cell.name, factor, episodes)
    aside = path.with_suffix(".writing")
    aside.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    aside.rename(path)
    return result


def _score(config: TrainConfig, folder: Path, factor: int, episodes: int) -> dict[str, Any]:
    """Initial and best weights against skip and oracle, on episodes `factor` times as long."""
    env_args = config.eval_env("test")
    env_args["num_chunks"] = factor * env_args.get("num_chunks", 10)
    knobs = dict(env_args.get("difficulty", {}))
    if knobs.get("questions"):
        knobs["questions"] *= factor
    env_args["difficulty"] = knobs
    sampling = Sampling(
        config.max_new_tokens,
        config.eval_temperature,
        config.sample_tokens,
        config.instructions,
    )
    results = play_references(
        config.env, env_args, episodes=episodes, seed=EVAL_SEED, agents=("skip", "oracle")
    )
    for label in ("initial", "best"):
        played = evaluate_policy(
            load_run(folder, label)[1],
            config.env,
            env_args,
            episodes=episodes,
            seed=EVAL_SEED,
            sampling=sampling,
        )
        results += policy_results(label, played, EVAL_SEED)
    rows = {row.agent: row for row in summarise(results, EVAL_SEED)}
    return {
        name: {key: getattr(row, key) for key in ("score", "normalised", "memory_tokens")}
        for name, row in rows.items()
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: mean and range over seeds of the normalised score and of memory to the oracle's."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        groups[result["task"], result["reward"]].append(result)
    lines = [
        "| task | reward | seeds | score | normalised | memory / oracle | normalised, 4x longer |",
        "|---|---|---|---|---|---|---|",
    ]
    for (task, reward), group in groups.items():
        score = _spread([one["same"]["best"]["score"] for one in group])
        near = _spread([one["same"]["best"]["normalised"] for one in group])
        far = _spread([one["longer"]["best"]["normalised"] for one in group])
        memory = _spread(
            [
                one["same"]["best"]["memory_tokens"] / one["same"]["oracle"]["memory_tokens"]
                for one in group
            ]
        )
        lines.append(f"| {task} | {reward} | {len(group)} | {score} | {near} | {memory} | {far} |")
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    low, high = min(known), max(known)
    mean = statistics.fmean(known)
    return f"{mean:.3f}" if len(known) == 1 else f"{mean:.3f} ({low:.3f}-{high:.3f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m agents.ablation", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the ablation, new or to go on with")
    parser.add_argument("--rewards", nargs="+", default=REWARDS, help="reward presets")
    parser.add_argument("--tasks", nargs="+", default=["few"], choices=sorted(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=20, help="per evaluation of a cell")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu")
    parser.add_argument("--set", type=json.loads, default={}, help="other settings, as JSON")
    given = parser.parse_args(arguments)
    base = {**PRESETS[given.preset], **given.set}
    results, curves = [], {}
    try:
        for seed in given.seeds:
            for task in given.tasks:
                for reward in given.rewards:
                    cell = Cell(reward, task, seed)
                    results.append(run_cell(cell, given.folder, base, given.episodes))
                    curves[cell.name] = read_curve(given.folder / cell.name, "rollout/score")
                    print(f"{cell.name}: {json.dumps(results[-1]['same']['best'])}", flush=True)
                    (given.folder / "table.md").write_text(table(results) + "\n")
                    (given.folder / "curves.svg").write_text(render_svg(curves, "rollout/score"))
    except FineMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Score a run again from its traces, without the agents: `python -m baselines.rescore RUN`.

The stored actions are played into fresh environments and every reward is computed anew, under the
run's own settings or, with --reward, under any preset. Stored answers stand in for the reader where
the same question meets the same items; what the traces do not hold is put to the run's reader.
Results go to RUN/rescored/NAME/results.jsonl, with the attributed reward of every step.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import finemem_env  # noqa: F401  (registers the environments)
from baselines.runs.folder import RunFolder
from baselines.runs.runner import session_of
from baselines.tables.summary import Result, render_table, summarise
from finemem_env.errors import ConfigError, DataError, FineMemError, nearest
from finemem_env.rewards import REWARDS
from finemem_env.session import Session
from finemem_env.testing import canonical
from finemem_env.trace import Trace, replay

__all__ = ["Rescorer", "largest_difference", "main"]

_OWN = "own"
_OVERRIDES = ("reward", "attribution", "beta", "weights")
_TOLERANCE = 1e-9


@dataclass(slots=True)
class Rescorer:
    """Plays traces into environments, which it keeps.

    Args:
        reward: preset to score under; None: what the trace's environment says.
        trust: take stored answers; otherwise every question is put to the reader again.
        versions: those behind the last episode that was scored.
    """

    reward: str | None = None
    trust: bool = True
    versions: Mapping[str, str] = field(default_factory=dict)
    _envs: dict[str, gym.Env[str, str]] = field(default_factory=dict)

    def __call__(self, trace: Trace, result: Result) -> tuple[Result, tuple[float, ...]]:
        """`result` with its scores computed anew, and the attributed reward of every step.

        Raises:
            DataError: the trace is not of this episode.
            ReaderError: something must be read and the reader cannot be had.
        """
        env = self._env(trace.env)
        _, info = env.reset(seed=trace.seed)
        self.versions = info["versions"]
        session = session_of(env)
        if session.episode.episode_id != trace.episode_id:
            raise DataError(
                f"{result.agent}, episode {result.episode}: the trace is of {trace.episode_id!r}, "
                f"its seed gives {session.episode.episode_id!r}: other data or another version."
            )
        factory = getattr(env.unwrapped, "factory", None)
        reader, judge = getattr(factory, "reader", None), getattr(factory, "judge", None)
        last = replay(trace, session, reader, judge, trust=self.trust)
        return _scored(session, result), last.step_rewards

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs.values():
            env.close()

    def _env(self, description: Mapping[str, Any]) -> gym.Env[str, str]:
        keywords = {key: value for key, value in description.items() if key != "id"}
        if self.reward is not None:
            keywords = {key: one for key, one in keywords.items() if key not in _OVERRIDES}
            keywords["reward"] = self.reward
        key = canonical({"id": description["id"], **keywords})
        if key not in self._envs:
            self._envs[key] = gym.make(description["id"], disable_env_checker=True, **keywords)
        return self._envs[key]


def _scored(session: Session, result: Result) -> Result:
    steps = session.record.results
    chunk_qa = [step.terms["chunk_qa"] for step in steps if step.chunk_answers]
    last = steps[-1]
    return replace(
        result,
        status="ok" if any(last.step_valid) else "invalid",
        score=float(last.terms["global"]),
        r_chunk=float(np.mean(chunk_qa)) if chunk_qa else None,
        r_fmt=float(np.mean([step.terms["format"] for step in steps])),
        compression=float(last.terms["compression"]),
        episode_return=sum(step.reward for step in steps),
        memory_tokens=session.memory.tokens,
        memory_items=len(session.memory),
    )


def largest_difference(first: Result, second: Result) -> float:
    """The largest difference between the scores of two results of one episode."""
    pairs = [
        (getattr(first, name), getattr(second, name))
        for name in ("score", "r_chunk", "r_fmt", "compression", "episode_return")
    ]
    return max(
        math.inf if (one is None) != (other is None) else abs((one or 0.0) - (other or 0.0))
        for one, other in pairs
    )


def _rescored(
    folder: RunFolder, rescorer: Rescorer
) -> Iterator[tuple[Result, Result, tuple[float, ...]]]:
    """(stored, computed anew, attributed rewards); an episode without a trace stays as it is."""
    results = {result.key: result for result in folder.results()}
    for key, trace in folder.traces():
        if key in results:
            stored = results.pop(key)
            yield stored, *rescorer(trace, stored)
    for stored in results.values():
        yield stored, stored, ()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when the run's own rewards do not come out again."""
    parser = argparse.ArgumentParser(
        prog="python -m baselines.rescore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--reward", help="preset to score under (default: the run's own)")
    given = parser.parse_args(arguments)
    try:
        if given.reward is not None and given.reward not in REWARDS:
            raise ConfigError(nearest("reward", given.reward, REWARDS))
        return _run(RunFolder(given.run), given.reward)
    except (FineMemError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(folder: RunFolder, reward: str | None) -> int:
    seed = int(folder.config()["seed"])
    with closing(Rescorer(reward)) as rescorer:
        rows = list(_rescored(folder, rescorer))
    output = folder.path / "rescored" / (reward or _OWN)
    output.mkdir(parents=True, exist_ok=True)
    with (output / "results.jsonl").open("w", encoding="utf-8") as file:
        for _, result, step_rewards in rows:
            record = {**asdict(result), "step_rewards": step_rewards}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    for budget in dict.fromkeys(result.budget for _, result, _ in rows):
        own = [result for _, result, _ in rows if result.budget == budget]
        if budget:
            print(f"memory budget {budget}")
        print(render_table(summarise(own, seed)))
    print(f"written to {output}")
    if reward is not None:
        return 0
    off = [one for one, other, _ in rows if largest_difference(one, other) > _TOLERANCE]
    print(f"{len(rows)} episodes, {len(off)} of them with other rewards than the run reports")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())

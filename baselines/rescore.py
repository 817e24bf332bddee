"""Score a run again from its traces, without the agents: `python -m baselines.rescore RUN`.

The stored actions are played into fresh environments and every reward is computed anew, under the
run's own settings or, with --reward, under any preset. Stored answers stand in for the reader where
the same question meets the same items; what the traces do not hold is put to the run's reader.
Results go to RUN/rescored/NAME/results.jsonl, with the attributed reward of every step.

The run may be a stranger's: settings in its traces that would open files, call servers or load
models are refused before anything is played, unless --trust-settings says that you have read them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from baselines.agents import answers_itself, searches_itself
from baselines.reaching import add_trust, refuse_envs
from baselines.runs.folder import RunFolder, own_file
from baselines.runs.player import Job, Player
from baselines.runs.runner import session_of
from baselines.runs.same import differing
from baselines.tables.results import Result, measured
from baselines.tables.summary import render_table, summarise
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.progress import begin
from finemem_env.disk import write_whole
from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.fields import Fields
from finemem_env.rewards import REWARDS
from finemem_env.trace import Trace, record_trace, replay

_OWN = "own"
_OVERRIDES = ("reward", "attribution", "beta", "weights")


@dataclass(slots=True)
class Rescorer:
    """Plays traces into environments, which it keeps.

    Args:
        reward: preset to score under; None: what the trace's environment says.
        trust: take stored answers; otherwise every question is put to the reader again, where
            the reader is the local one and no agent answered in its place.
    """

    reward: str | None = None
    trust: bool = True
    player: Player = field(default_factory=Player)

    def __call__(self, trace: Trace, result: Result) -> tuple[Result, Trace]:
        """`result` with its scores computed anew, and the trace of that.

        Raises:
            DataError: the trace is not of this episode.
            ReaderError: something must be read and the reader cannot be had.
        """
        env_id = Fields(trace.env, f"{result.agent}, episode {result.episode}: env").text("id")
        keywords = {key: value for key, value in trace.env.items() if key != "id"}
        if self.reward is not None:
            keywords = {key: value for key, value in keywords.items() if key not in _OVERRIDES}
            keywords["reward"] = self.reward
        env = self.player.made(env_id, keywords)
        _, info = env.reset(seed=trace.seed)
        session, versions = session_of(env), info["versions"]
        if session.episode.episode_id != trace.episode_id:
            raise DataError(
                f"{result.agent}, episode {result.episode}: the trace is of {trace.episode_id!r}, "
                f"its seed gives {session.episode.episode_id!r}: other data or another version."
            )
        factory = getattr(env.unwrapped, "factory", None)
        reader, judge = getattr(factory, "reader", None), getattr(factory, "judge", None)
        own = answers_itself(trace.versions)
        trust = self.trust or own or not is_local(versions)
        search = not searches_itself(trace.versions)
        replay(trace, session, reader, judge, trust=trust, search=search)
        fields = measured(session, hidden=own)
        anew = record_trace(
            session,
            agent=trace.agent,
            episode=trace.episode,
            seed=trace.seed,
            env=trace.env,
            versions=versions,
        )
        return replace(result, competency=anew.competency, **fields), anew

    def plays(self, job: Job) -> bool:
        """Whether an agent of ours gets the same again: no model reads or grades."""
        versions = self._begun(job)[0]
        return is_local(versions) and "judge" not in versions

    def failed(self, job: Job) -> Result:
        """The result of a job whose agent broke."""
        place = job.choice.label, job.index, job.seed, job.episode_id, self._begun(job)[1]
        return Result(*place, "failed", task=job.task.name, budget=job.budget)

    def _begun(self, job: Job) -> tuple[Mapping[str, str], str]:
        """Versions and competency of a job's episode."""
        env = self.player.env(job.task, job.budget)
        _, info = env.reset(seed=job.seed)
        return info["versions"], session_of(env).episode.competency

    def close(self) -> None:
        """Close the environments."""
        self.player.close()


def is_local(versions: Mapping[str, str]) -> bool:
    """Whether the reader is the local one, which says the same again."""
    return versions.get("reader", "").startswith("local/")


_Row = tuple[Result, Result, tuple[float, ...]]  # stored, computed anew, attributed rewards


def _rescored(folder: RunFolder, rescorer: Rescorer) -> Iterator[_Row]:
    """Every episode of the run; an episode without a trace stays as it is."""
    results = {result.key: result for result in folder.results()}
    for key, trace in folder.traces():
        if key in results:
            stored = results.pop(key)
            again, anew = rescorer(trace, stored)
            yield stored, again, anew.step_rewards
    for stored in results.values():
        yield stored, stored, ()


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Score a run again; 1 when the run's own rewards do not come out again."""
    parser = program("baselines.rescore", __doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--reward", help="preset to score under (default: the run's own)")
    add_trust(parser)
    options = parser.parse_args(arguments)
    reward = options.reward
    if reward is not None and reward not in REWARDS:
        raise ConfigError(nearest("reward", reward, REWARDS))
    folder = RunFolder(options.run)
    folder.config()  # refuses what is no run
    if not options.trust_settings:
        refuse_envs(str(options.run), (trace.env for _, trace in folder.traces()))
    output = folder.path / "rescored" / (reward or _OWN)
    begin(f"the rewards of {options.run} again, from its traces", output)
    with closing(Rescorer(reward)) as rescorer:
        rows = list(_rescored(folder, rescorer))
    with saving(output, f"{output} is as it was, and so is the run."):
        _write(output, rows)
    for budget in dict.fromkeys(result.budget for _, result, _ in rows):
        if budget:
            print(f"memory budget {budget}")
        of_budget = [result for _, result, _ in rows if result.budget == budget]
        print(render_table(summarise(of_budget)))
    print(f"written to {output}")
    if reward is not None:
        return 0
    off = [stored for stored, again, _ in rows if differing(stored, again)]
    print(f"{len(rows)} episodes, {len(off)} of them with other rewards than the run reports")
    return 1 if off else 0


def _write(output: Path, rows: Sequence[_Row]) -> None:
    own_file(output)
    output.mkdir(parents=True, exist_ok=True)
    records = ({**asdict(again), "step_rewards": rewards} for _, again, rewards in rows)
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_whole(own_file(output / "results.jsonl"), "".join(lines))


if __name__ == "__main__":
    sys.exit(main())

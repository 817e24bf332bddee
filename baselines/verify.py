"""Check a submission by scoring it again: `python -m baselines.verify FILE`.

The run that it says it is must come out of planning it here: settings, versions, data, episodes. It
must hold every one of them for every agent and budget it names, and playing its actions again must
give all that it reports. `skip` and `oracle`, which the normalised score leans on, are played anew.
With a local reader nothing but the actions is taken from the file; the answers of a model reader,
or of an agent that answers the questions itself, and the replies of a judge cannot be had again, so
those stored are scored anew, and the verdict says so. Seconds and costs are as reported.

The file may be a stranger's: settings in it that would open files, call servers or load models are
refused before anything is played, unless --trust-settings says that you have read them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice, product
from pathlib import Path
from typing import Any

from baselines.agents import answers_itself, searches_itself
from baselines.reaching import add_trust, refuse_envs
from baselines.rescore import Rescorer, is_local
from baselines.runs.choice import AgentChoice
from baselines.runs.folder import Key
from baselines.runs.player import Job, environment_args
from baselines.runs.replan import described, wrongly_said
from baselines.runs.run import RunConfig
from baselines.runs.same import differing, first_difference
from baselines.runs.submission import Submission, read_submission
from baselines.tables.curves import headline, run_table
from baselines.tables.results import Result
from baselines.tables.summary import CEILING, FLOOR, summarise
from finemem_env.cli.frame import command, program
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import number
from finemem_env.trace import Trace

_SHOWN = 20


def problems(submission: Submission) -> list[str]:
    """Everything that is wrong with a submission, as sentences; none when it stands.

    Raises:
        ConfigError: the run that it describes cannot be played.
        DataError: the same, for its data.
    """
    run = described(submission.config)
    names = wrongly_said(submission.config, run)
    wrong = [f"config: {name} is not what planning the run here gives" for name in names]
    if wrong := [*wrong, *islice(_incomplete(submission), _SHOWN)]:
        return wrong
    with closing(Rescorer(trust=False)) as rescorer:
        for result, job in _jobs(submission, run):
            trace = submission.traces.get(result.key)
            found = _episode(job, result, trace, rescorer)
            wrong += [f"{_name(result.key)}: {text}" for text in found]
    return wrong


def _jobs(submission: Submission, run: RunConfig) -> Iterator[tuple[Result, Job]]:
    """Every result with the episode that the config says it is of."""
    tasks = {task.name: task for task in run.tasks}
    played: dict[str, list[Mapping[str, Any]]] = {name: [] for name in tasks}
    for episode in submission.config["episodes"]:
        played[episode.get("task", "")].append(episode)
    for result in submission.results:
        task, episode = tasks[result.task], played[result.task][result.episode]
        place = episode["seed"], episode["episode_id"], result.competency
        choice = AgentChoice(result.agent)
        yield result, Job(task, result.budget, choice, result.episode, *place)


def _episode(job: Job, result: Result, trace: Trace | None, rescorer: Rescorer) -> list[str]:
    """What is wrong with one episode."""
    if (result.seed, result.episode_id) != (job.seed, job.episode_id):
        return ["its seed or episode is not the config's"]
    reference = result.agent in (FLOOR, CEILING) and rescorer.plays(job)
    if result.status == "failed" and not reference:
        return _other("a failed episode has", result, rescorer.failed(job))
    if trace is None:
        return ["no trace"]
    expected = {"id": job.task.env, **environment_args(job.task, job.budget)}
    if dict(trace.env) != expected:
        return [f"played in {dict(trace.env)}, the config says {expected}"]
    if trace.seed != job.seed:
        return ["its trace has another seed"]
    again, anew = rescorer.player.play(job) if reference else rescorer(trace, result)
    wrong = _other("playing it gives" if reference else "its actions give", result, again)
    return [*wrong, *([] if anew is None else _otherwise(trace, anew))]


def _otherwise(trace: Trace, anew: Trace) -> list[str]:
    """What a trace says otherwise than the one of playing it again."""
    versions = dict(anew.versions)
    for part, itself in (("reader", answers_itself), ("retriever", searches_itself)):
        if itself(trace.versions):
            versions[part] = trace.versions[part]
    if dict(trace.versions) != versions:
        return [f"played under {dict(trace.versions)}, here is {versions}"]
    where = first_difference(trace, anew)
    return [f"its trace says at {where} what its actions do not give"] if where else []


def _other(said: str, result: Result, again: Result) -> list[str]:
    """A sentence on what a result reports otherwise than `again`; none where they agree."""
    names = differing(result, again)
    first, second = (
        ", ".join(f"{name} {_shown(getattr(one, name))}" for name in names)
        for one in (result, again)
    )
    return [f"reports {first}; {said} {second}"] if names else []


def _shown(value: object) -> str:
    return number(value, 6) if isinstance(value, float) else str(value)


def _incomplete(submission: Submission) -> Iterator[str]:
    """Every episode must be there, once."""
    keys = Counter(result.key for result in submission.results)
    yield from (f"{_name(key)}: twice" for key, count in keys.items() if count > 1)
    counts = Counter(str(episode.get("task", "")) for episode in submission.config["episodes"])
    budgets, agents = submission.config["budgets"], submission.config["agents"]
    for task, count in counts.items():
        wanted = ((task, *rest) for rest in product(budgets, agents, range(count)))
        yield from (f"{_name(key)}: missing" for key in wanted if key not in keys)
    for task, budget, agent, index in keys:
        if not (budget in budgets and agent in agents and 0 <= index < counts[task]):
            yield f"{_name((task, budget, agent, index))}: not of this run"


def _name(key: Key) -> str:
    task, budget, agent, index = key
    return " ".join(part for part in (task, budget, agent, f"episode {index}") if part)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the submission stands, 1 when not, 2 when it cannot be read."""
    parser = program("baselines.verify", __doc__)
    parser.add_argument("file", type=Path, help="a submission, .json or .json.gz")
    add_trust(parser)
    options = parser.parse_args(arguments)
    submission = read_submission(options.file)
    if not options.trust_settings:
        refuse_envs("the submission", _envs(submission))
    begin(f"{len(submission.results)} episodes of {options.file}, scored again")
    if wrong := problems(submission):
        print(f"NOT VERIFIED: {len(wrong)} problems", *wrong[:_SHOWN], sep="\n  ")
        return 1
    budget = headline(submission.config["budgets"])
    rows = summarise([result for result in submission.results if result.budget == budget])
    print(run_table(rows, submission.results))
    _print_verdict(submission)
    return 0


def _envs(submission: Submission) -> Iterator[Mapping[str, Any]]:
    """Descriptions of the environments that would be made."""
    yield from (trace.env for trace in submission.traces.values())
    run = described(submission.config)
    if run.suite is None:
        yield from ({"id": task.env, **task.env_args} for task in run.tasks)


def _print_verdict(submission: Submission) -> None:
    versions = [trace.versions for trace in submission.traces.values()]
    local = is_local(submission.config["versions"])
    read = "every answer read again" if local else "stored answers scored again"
    print(f"VERIFIED: {len(submission.results)} episodes, {read}")
    if own := sum(map(answers_itself, versions)):
        print(
            f"{own} of them by agents that answer themselves: their answers scored again as stored"
        )
    if own := sum(map(searches_itself, versions)):
        print(f"{own} of them by agents that search themselves: what they found is as stored")
    if own := sum("judge" in played for played in versions):
        print(f"{own} of them graded by a judge: its replies are as stored")


if __name__ == "__main__":
    sys.exit(main())

"""Check a submission by scoring it again: `python -m baselines.verify FILE`.

It must hold every episode of its suite, on the suite's data, for every agent and budget it names;
and playing its actions again must give the scores that it reports. With a local reader nothing but
the actions is taken from the file; the answers of a model reader, or of an agent that answers the
questions itself, cannot be had again, so those stored are scored anew, and the verdict says so.

The file may be a stranger's: settings in it that would open files, call servers or load models are
refused before anything is played, unless --trust-settings says that you have read them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from baselines.agents import answers_itself, searches_itself
from baselines.reaching import add_trust, refuse_envs
from baselines.rescore import Rescorer, largest_difference
from baselines.runs.folder import Key
from baselines.runs.player import environment_args
from baselines.runs.run import SuiteData, suite_data
from baselines.runs.submission import Submission, read_submission
from baselines.suites import get_suite
from baselines.tables.curves import headline, run_table
from baselines.tables.results import Result
from baselines.tables.summary import summarise
from finemem_env.cli.frame import command, program
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import number

_TOLERANCE = 1e-9
_SHOWN = 20


def problems(submission: Submission) -> list[str]:
    """Everything that is wrong with a submission, as sentences; none when it stands."""
    name = submission.config.get("suite")
    data = {} if name is None else suite_data(name)
    wrong = _data(submission, data) + _complete(submission)
    if wrong:
        return wrong
    with closing(Rescorer()) as rescorer:
        for result in submission.results:
            if result.status != "failed":
                wrong += _episode(submission, result, rescorer, data)
            elif result.score != 0.0:
                wrong.append(f"{_name(result.key)}: failed, with a score of {result.score}")
    return wrong


def _episode(
    submission: Submission, result: Result, rescorer: Rescorer, data: Mapping[str, SuiteData]
) -> list[str]:
    """What is wrong with one episode that was played to its end."""
    name, trace = _name(result.key), submission.traces.get(result.key)
    if trace is None:
        return [f"{name}: no trace"]
    if wrong := _played(submission, result.key, data):
        return wrong
    rescorer.trust = answers_itself(trace.versions) or not _is_local(submission)
    again, _ = rescorer(trace, result)
    versions = dict(rescorer.versions)
    for part, itself in (("reader", answers_itself), ("retriever", searches_itself)):
        if itself(trace.versions):
            versions[part] = trace.versions[part]
    if dict(trace.versions) != versions:
        wrong.append(f"{name}: played under {dict(trace.versions)}, here is {versions}")
    if largest_difference(result, again) > _TOLERANCE:
        wrong.append(
            f"{name}: reports score {result.score:.6f} and return {_shown(result)}, "
            f"its actions give {again.score:.6f} and {_shown(again)}"
        )
    return wrong


def _shown(result: Result) -> str:
    return number(result.episode_return, 6)


def _is_local(submission: Submission) -> bool:
    return str(submission.config["versions"].get("reader", "")).startswith("local/")


def _data(submission: Submission, data: Mapping[str, SuiteData]) -> list[str]:
    """A suite's data must be the suite's."""
    claimed = submission.config["task_hashes"]
    return [
        f"task {task}: data {claimed.get(task, '')[:16]}…, here {own.data_hash[:16]}…"
        for task, own in data.items()
        if claimed.get(task) != own.data_hash
    ]


def _complete(submission: Submission) -> list[str]:
    """Every episode must be there, once."""
    keys = [result.key for result in submission.results]
    wrong = [f"{_name(key)}: twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    budgets, agents = submission.config["budgets"], submission.config["agents"]
    wanted = {
        (task, budget, agent, index)
        for task, count in _episodes(submission).items()
        for budget in budgets
        for agent in agents
        for index in range(count)
    }
    wrong += [f"{_name(key)}: missing" for key in sorted(wanted - set(keys))]
    return wrong + [f"{_name(key)}: not of this run" for key in sorted(set(keys) - wanted)]


def _episodes(submission: Submission) -> dict[str, int]:
    name = submission.config.get("suite")
    if name is not None:
        return {task.name: task.episodes for task in get_suite(name).tasks}
    return Counter(episode.get("task", "") for episode in submission.config["episodes"])


def _played(submission: Submission, key: Key, data: Mapping[str, SuiteData]) -> list[str]:
    """The trace must be of the environment and seed that its result names."""
    name = submission.config.get("suite")
    trace = submission.traces[key]
    if name is None:
        return []
    suite = get_suite(name)
    (task,) = (task for task in suite.tasks if task.name == key[0])
    expected = {"id": task.env, **environment_args(task, key[1])}
    if dict(trace.env) != expected:
        return [f"{_name(key)}: played in {dict(trace.env)}, the suite says {expected}"]
    if trace.seed != data[task.name].seeds[key[3]]:
        return [f"{_name(key)}: another seed than the suite's"]
    return []


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
        refuse_envs("the submission", (trace.env for trace in submission.traces.values()))
    begin(f"{len(submission.results)} episodes of {options.file}, scored again")
    if wrong := problems(submission):
        print(f"NOT VERIFIED: {len(wrong)} problems", *wrong[:_SHOWN], sep="\n  ")
        return 1
    budget = headline(submission.config["budgets"])
    rows = summarise([result for result in submission.results if result.budget == budget])
    print(run_table(rows, submission.results))
    read = "every answer read again" if _is_local(submission) else "stored answers scored again"
    print(f"VERIFIED: {len(submission.results)} episodes, {read}")
    versions = [trace.versions for trace in submission.traces.values()]
    if own := sum(map(answers_itself, versions)):
        print(
            f"{own} of them by agents that answer themselves: their answers scored again as stored"
        )
    if own := sum(map(searches_itself, versions)):
        print(f"{own} of them by agents that search themselves: what they found is as stored")
    return 0


if __name__ == "__main__":
    sys.exit(main())

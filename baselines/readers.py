r"""Read one run with several readers: `python -m baselines.readers RUN --reader … --reader …`.

    python -m baselines.readers runs/b --reader local \
        --reader '{"name": "transformers", "model": "smollm2-135m", "prompt": "read_short/1"}'

The stored actions are played again, and each reader answers the final questions from the memories
that they leave; chunk questions are not asked. The first table has the score of every agent by
reader, the second what each reader cost and how its ranking of the agents compares with that of the
first one: Kendall's τ with a bootstrap interval over episodes, and the share of questions that both
score alike. What its model cost is for one episode of one agent. "no source" counts answers that
name none of the items shown: for a prompted model, replies that are not in the form that was asked
for. Failed calls are left out of all scores.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym

from baselines.reaching import add_trust, refuse_envs
from baselines.runs.folder import RunFolder, own_file
from baselines.runs.player import Player
from baselines.runs.runner import session_of
from baselines.tables.cost import Cost, cost_cells, cost_of
from baselines.tables.ranking import Place, agreement, rank_correlation, rank_interval
from finemem_env.backends.usage import READER, Ledger
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.options import name_or_object
from finemem_env.cli.tables import interval, number, text_table
from finemem_env.disk import write_whole
from finemem_env.errors import ConfigError
from finemem_env.readers import make_reader
from finemem_env.trace import Trace, replay
from finemem_env.types import Answer, Reader, ReadRequest

# Only final answers are compared: nothing else is read.
_PLAIN = {"reward": "outcome", "chunk_questions": 0}
_DROPPED = ("reader", "reward", "attribution", "beta", "weights")


@dataclass(slots=True)
class ReaderRun:
    """What one reader made of a run.

    Attributes:
        name: of the reader, as it was given.
        scores: agent -> episode -> mean score of its final questions.
        questions: (agent, episode, question) -> score.
        calls, failed, unsourced: answers, those that failed, and those that name no item.
        seconds: in the reader.
        spent, read: what its model cost and the tokens of the text, by agent and episode.
    """

    name: str
    scores: dict[str, dict[object, float]] = field(default_factory=lambda: defaultdict(dict))
    questions: dict[object, float] = field(default_factory=dict)
    calls: int = 0
    failed: int = 0
    unsourced: int = 0
    seconds: float = 0.0
    spent: list[Mapping[str, float]] = field(default_factory=list)
    read: list[int] = field(default_factory=list)

    def means(self, agents: Sequence[str]) -> list[float]:
        """Mean score of each agent; NaN for one of which every episode failed."""
        lists = [list(self.scores[agent].values()) for agent in agents]
        return [math.fsum(scores) / len(scores) if scores else math.nan for scores in lists]

    def cost(self) -> Cost | None:
        """What its model cost for one episode of one agent; None where it called none."""
        return cost_of(self.spent, self.read) if any(self.spent) else None


class _Counted:
    """A reader that notes what it is asked, and answers on the side of `ReaderRun`."""

    def __init__(self, reader: Reader, reading: ReaderRun) -> None:
        self._reader, self._reading = reader, reading
        self.version = reader.version

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """The reader's answers."""
        start = time.perf_counter()
        answers = self._reader.answer(requests)
        note = self._reading
        note.seconds += time.perf_counter() - start
        for request, answer in zip(requests, answers, strict=True):
            note.calls += 1
            note.failed += answer.failed
            note.unsourced += bool(request.items and not answer.used and not answer.failed)
        return answers


def read_run(folder: RunFolder, reader_options: str | Mapping[str, Any]) -> ReaderRun:
    """Play the traces of `folder` again with the reader of these options.

    Raises:
        ConfigError: no such reader.
        DataError: a trace of other data than its environment gives now.
    """
    config = {"name": reader_options} if isinstance(reader_options, str) else reader_options
    reading = ReaderRun(_label(config))
    reader = _Counted(make_reader(config), reading)
    with closing(Player()) as player:
        for (task, budget, agent, episode), trace in folder.traces():
            session = session_of(_reset(trace, player))
            ledger = Ledger()
            with ledger.open():
                replay(trace, session, reader, trust=False)
            used = ledger.spent().get(READER)
            reading.spent.append({} if used is None else asdict(used))
            reading.read.append(sum(session.chunk_tokens))
            place = Place(task, budget, episode, trace.episode_id)
            scored = {
                final.question.id: final.score
                for final, _ in session.record.finals
                if not final.answer.failed
            }
            for question, score in scored.items():
                reading.questions[agent, place, question] = score
            if scored:
                reading.scores[agent][place] = math.fsum(scored.values()) / len(scored)
    return reading


def _label(config: Mapping[str, Any]) -> str:
    parts = [config.get("name"), config.get("model"), config.get("prompt")]
    return " ".join(str(part) for part in parts if part)


def _reset(trace: Trace, player: Player) -> gym.Env[str, str]:
    """The environment of the trace at the start of its episode, and only its end is read."""
    kept = {key: value for key, value in trace.env.items() if key not in ("id", *_DROPPED)}
    env = player.made(trace.env["id"], kept | _PLAIN)
    env.reset(seed=trace.seed)
    return env


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Read a run with several readers and compare them."""
    parser = program("baselines.readers", __doc__)
    parser.add_argument("run", type=Path, help="folder of a run, with its traces")
    parser.add_argument(
        "--reader",
        action="append",
        type=name_or_object,
        required=True,
        metavar="NAME|JSON",
        help="a reader by name or with options; the first is what others are compared with",
    )
    add_trust(parser)
    options = parser.parse_args(arguments)
    folder = RunFolder(options.run)
    folder.config()  # refuses what is no run
    if not options.trust_settings:
        refuse_envs(str(options.run), (trace.env for _, trace in folder.traces()))
    readings = [read_run(folder, reader) for reader in options.reader]
    agents = list(readings[0].scores)
    if not agents:
        raise ConfigError(f"{options.run}: expected traces of at least one episode, found none.")
    rows = list(_compared(readings, agents))
    print(_scores_table(readings, agents))
    print()
    print(_costs_table(rows))
    output = options.run / "readers.json"
    with saving(output, "the run is as it was."):
        text = json.dumps(list(map(_plain, rows)), indent=2, allow_nan=False) + "\n"
        write_whole(own_file(output), text)
    print(f"written to {output}")
    return 0


def _compared(readings: Sequence[ReaderRun], agents: Sequence[str]) -> Iterator[dict[str, Any]]:
    first = readings[0]
    for reading in readings:
        means = reading.means(agents)
        tau = rank_correlation(first.means(agents), means)
        yield {
            "reader": reading.name,
            "scores": {a: None if math.isnan(m) else m for a, m in zip(agents, means, strict=True)},
            "tau": tau,
            "tau_interval": rank_interval(first.scores, reading.scores),
            "agreement": agreement(first.questions, reading.questions),
            "questions": len(reading.questions),
            "calls": reading.calls,
            "failed": reading.failed,
            "no_source": reading.unsourced,
            "seconds": round(reading.seconds, 3),
            "cost": reading.cost(),
        }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "cost": None if row["cost"] is None else asdict(row["cost"])}


def _scores_table(readings: Sequence[ReaderRun], agents: Sequence[str]) -> str:
    columns = [reading.means(agents) for reading in readings]
    rows = [
        [agent, *(number(column[place]) for column in columns)]
        for place, agent in enumerate(agents)
    ]
    return text_table(["agent", *(reading.name for reading in readings)], rows)


def _costs_table(rows: Sequence[Mapping[str, Any]]) -> str:
    costs, spent = cost_cells([row["cost"] for row in rows])
    header = ["reader", "tau", "95 % interval", "agreement", "answers", "failed", "no source", "s"]
    cells = [
        [
            row["reader"],
            number(row["tau"]),
            interval(row["tau_interval"]),
            number(row["agreement"]),
            str(row["calls"]),
            str(row["failed"]),
            str(row["no_source"]),
            number(row["seconds"], 1),
            *more,
        ]
        for row, more in zip(rows, spent, strict=True)
    ]
    return text_table([*header, *costs], cells)


if __name__ == "__main__":
    sys.exit(main())

"""Where a run lost its final questions: `python -m baselines.inspect RUN`.

RUN is the folder of a benchmark run, the folder of a training run, or a file of traces. Prints one
line for every final question: answered, or where it was lost.

  never stored    no accepted or refused operation had it
  refused         an operation that had it was rejected, with the reason
  overwritten     it was in the memory, and an UPDATE replaced it
  deleted         it was in the memory, and a DELETE took it out
  not retrieved   it was in the memory, and the search ranked others above it
  misread         it was shown to the reader, whose answer is wrong

Then, for every agent, how many questions ended where. Steps, chunks and ranks of evidence follow
the trace: steps and chunks count from 0, ranks from 1. Whether a text holds the evidence is told by
its words (docs/inspect.md). Nothing that the run names is imported or opened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from baselines.tables.findings import episode_lines
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_choice, positive
from finemem_env.cli.tables import text_table
from finemem_env.console import visible
from finemem_env.errors import ConfigError
from finemem_env.inspect import (
    Choice,
    Finding,
    Recorded,
    RecordedTraces,
    Tally,
    episode_score,
    find,
    missing_notes,
    tell,
)

_NAMED = 10  # places that an error names


@dataclass(slots=True)
class _Seen:
    """What was counted, for the table and the notes under it."""

    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    traces: int = 0
    old: int = 0
    golds_only: int = 0
    broken: int = 0
    others: set[str] = field(default_factory=set)

    def skip(self, recorded: Recorded) -> None:
        """Note what could have been asked for."""
        trace, task, budget = recorded.trace, recorded.task, recorded.budget
        place = f"task {task}, " * bool(task) + f"budget {budget}, " * bool(budget)
        self.others.add(visible(f"{place}agent {trace.agent}"))

    def add(self, recorded: Recorded, findings: Sequence[Finding], problem: str) -> None:
        """Count an episode."""
        self.tallies.setdefault((recorded.trace.agent, recorded.budget), Tally()).add(findings)
        self.traces += 1
        self.old += recorded.trace.is_first_version
        self.broken += bool(problem)
        if not recorded.trace.is_first_version:
            self.golds_only += sum(finding.golds_only for finding in findings)

    def lines(self) -> Iterator[str]:
        """The table and what belongs under it."""
        yield text_table(*Tally.table(self.tallies))
        yield from self._refusals()
        yield from missing_notes(self.traces, self.old, self.golds_only, self.broken)

    def _refusals(self) -> Iterator[str]:
        """The reasons of what was refused, one line for every agent that met any."""
        for (agent, budget), tally in self.tallies.items():
            if tally.reasons:
                name = " ".join(filter(None, (visible(agent, 40), visible(budget))))
                reasons = ", ".join(f"{reason} {n}" for reason, n in tally.reasons.most_common())
                yield f"{name} refused: {reasons}"


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings of a run, then the table."""
    parser = program("baselines.inspect", __doc__)
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of a run, or a file of traces")
    add_choice(parser)
    add("--worst", type=positive, metavar="N", help="only each agent's N episodes of lowest score")
    options = parser.parse_args(arguments)
    choice = Choice(options.agent, options.task, options.budget, options.episode)
    seen = _Seen()
    episodes = _episodes(options.run, choice, seen)
    for _, _, lines in episodes if options.worst is None else _worst(episodes, options.worst):
        print(*lines, "", sep="\n")
    if not seen.traces:
        there = "; ".join(sorted(seen.others)[:_NAMED])
        raise ConfigError(f"{options.run}: no trace fits these options; there are {there}.")
    print(*seen.lines(), sep="\n")
    return 0


_Episode = tuple[str, float, list[str]]  # agent, score, lines


def _episodes(run: Path, choice: Choice, seen: _Seen) -> Iterator[_Episode]:
    for recorded in RecordedTraces(run):
        if not choice.takes(recorded):
            seen.skip(recorded)
            continue
        story = tell(recorded.trace)
        findings = find(recorded.trace, story)
        seen.add(recorded, findings, story.problem)
        lines = list(episode_lines(recorded, findings, story.problem))
        yield recorded.trace.agent, episode_score(findings), lines


def _worst(episodes: Iterable[_Episode], count: int) -> Iterator[_Episode]:
    """The `count` episodes of lowest score of every agent."""
    kept: dict[str, list[_Episode]] = {}
    for episode in episodes:
        own = kept.setdefault(episode[0], [])
        own.append(episode)
        own.sort(key=lambda played: played[1])
        del own[count:]
    for own in kept.values():
        yield from own


if __name__ == "__main__":
    sys.exit(main())

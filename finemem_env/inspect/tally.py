"""A run in numbers: how many final questions every agent lost, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from finemem_env.console import visible
from finemem_env.inspect.findings import Finding, Where

_PARTLY = "partly"
# Columns that are there only when they say something.
_RARE = (_PARTLY, str(Where.FAILED), str(Where.UNKNOWN))


@dataclass(slots=True)
class Tally:
    """Counts of one agent: its questions, how they ended, and the reasons of refusals."""

    questions: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count the questions of one episode.

        A question that is answered in part counts as such, and where it lost the rest.
        """
        for finding in findings:
            self.questions += 1
            self.ends[str(finding.where)] += 1
            self.ends[_PARTLY] += finding.outcome == _PARTLY
            if finding.where is Where.REFUSED and finding.trail is not None:
                self.reasons[finding.trail.reason] += 1

    @staticmethod
    def table(tallies: Mapping[tuple[str, str], Tally]) -> tuple[list[str], list[list[str]]]:
        """Heading and rows: one for every agent (and budget, where there are several).

        Args:
            tallies: by agent and budget.
        """
        budgets = len({budget for _, budget in tallies}) > 1
        ends = [
            str(Where.ANSWERED),
            _PARTLY,
            *(str(where) for where in Where if where is not Where.ANSWERED),
        ]
        shown = [
            end
            for end in ends
            if end not in _RARE or any(tally.ends[end] for tally in tallies.values())
        ]
        header = ["agent", *(["budget"] if budgets else []), "questions", *shown]
        rows = [
            [
                visible(agent, 40),
                *([visible(budget)] if budgets else []),
                str(tally.questions),
                *(str(tally.ends[end]) for end in shown),
            ]
            for (agent, budget), tally in tallies.items()
        ]
        return header, rows


def episode_score(findings: Sequence[Finding]) -> float:
    """r_global: the mean score of the questions whose reading did not fail."""
    scores = [finding.answer.score for finding in findings if finding.outcome != "failed"]
    return sum(scores) / len(scores) if scores else 0.0


def missing_notes(traces: int, old: int, golds_only: int, broken: int) -> list[str]:
    """What cannot be told, as sentences.

    Args:
        traces: how many there are.
        old: of the first version.
        golds_only: questions without recorded evidence, though the trace could hold it.
        broken: traces whose memory could not be told.
    """
    notes = []
    if old:
        notes.append(
            f"{old} of {traces} traces are of finemem-trace/1, which holds no evidence, no credit "
            "per question and no chunks: the gold answer's words were looked for instead, wherever "
            "they were written, and a question whose gold is a longer text cannot be told. Play "
            "the run again to have them."
        )
    if golds_only:
        notes.append(
            f"{golds_only} questions come without evidence: their gold answers' words were looked "
            "for instead."
        )
    if broken:
        notes.append(f"{broken} of {traces} traces: the memory could not be told, see there.")
    return notes

"""Differences between agents on the same episodes, and what is answered from an empty memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baselines.tables.intervals import Play, mean_interval
from baselines.tables.results import Result
from baselines.tables.summary import FLOOR
from finemem_env.trace import Trace

_ANSWERED = 0.5


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of score(agent) - score(reference) over shared episodes, with its 95 % interval."""

    agent: str
    reference: str
    episodes: int
    mean: float
    interval: tuple[float, float] | None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def paired_differences(results: Sequence[Result], reference: str) -> list[Difference]:
    """One difference to `reference` per other agent, over the episodes both were scored on."""
    played: dict[str, dict[tuple[str, str, int], Result]] = defaultdict(dict)
    for result in results:
        if result.status != "invalid":
            played[result.agent][result.place] = result
    base = played.get(reference, {})
    differences = []
    for agent, own in played.items():
        shared = [place for place in own if place in base]
        if agent == reference or not shared:
            continue
        gaps = [
            Play(place[0], own[place].episode_id, own[place].score - base[place].score)
            for place in shared
        ]
        mean = math.fsum(gap.score for gap in gaps) / len(gaps)
        interval = mean_interval(gaps, -1.0, 1.0)
        differences.append(Difference(agent, reference, len(gaps), mean, interval))
    return differences


@dataclass(frozen=True, slots=True)
class Leak:
    """Final questions of a task that the reader answered with nothing in memory."""

    task: str
    questions: int
    answered: int
    score: float


def closed_book(traces: Iterable[tuple[str, Trace]]) -> list[Leak]:
    """By task, from the traces of the agent that stores nothing: (task, trace) pairs."""
    scores: dict[str, list[float]] = defaultdict(list)
    for task, trace in traces:
        if trace.agent == FLOOR:
            scores[task] += [answer.score for answer in trace.answers if not answer.failed]
    return [
        Leak(
            task,
            len(own),
            sum(score >= _ANSWERED for score in own),
            math.fsum(own) / len(own) if own else 0.0,
        )
        for task, own in scores.items()
    ]

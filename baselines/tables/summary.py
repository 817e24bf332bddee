"""From results to the table: means, intervals and the normalised score. Pure functions.

An episode that an agent broke (it raised, or replied with something other than text) counts as
score 0, so that failing on hard episodes never pays; it is left out of the other columns. An
episode whose reader failed says nothing about the agent and is left out of every mean; both are
counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from baselines.tables.cost import Cells, Cost, beside, cost_columns, costs
from baselines.tables.intervals import Play, mean_interval
from baselines.tables.results import Result
from finemem_env.cli.tables import interval, number, text_table

FLOOR, CEILING = "skip", "oracle"
APART = "ranked apart: agents that answer from a memory of their own, which no budget limits"


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """One row of the table. None stands for a number that does not exist.

    `interval` is over different episodes, within tasks (`tables.intervals`). `score_macro` is the
    mean over competencies of their mean scores, beside the arithmetic `score`. `normalised` is 0 at
    `skip` and 1 at `oracle` on the same episodes. `apart`: the agent answered from a memory of its
    own, of which nothing was measured. `early` and `late`: see `results.Result`. `costs`: of models
    by role, over the episodes that were played to their end.
    """

    agent: str
    episodes: int
    failed: int
    invalid: int
    score: float | None
    score_macro: float | None
    interval: tuple[float, float] | None
    normalised: float | None
    r_chunk: float | None
    r_fmt: float | None
    compression: float | None
    memory_tokens: float | None
    episode_return: float | None
    steps_per_second: float | None
    rejected: Mapping[str, int]
    apart: bool = False
    early: float | None = None
    late: float | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)

    @property
    def late_gain(self) -> float | None:
        """Score on what the late half of the text says, minus that on the early half."""
        return None if self.early is None or self.late is None else self.late - self.early

    def as_dict(self) -> dict[str, object]:
        """JSON-able copy."""
        return {**asdict(self), "late_gain": self.late_gain}


def summarise(results: Sequence[Result]) -> list[AgentSummary]:
    """One summary per agent in order of first appearance, those ranked apart last."""
    by_agent: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_agent[result.agent].append(result)
    rows = [_summary(agent, by_agent) for agent in by_agent]
    return sorted(rows, key=lambda row: row.apart)


def _summary(agent: str, by_agent: Mapping[str, list[Result]]) -> AgentSummary:
    results = by_agent[agent]
    counted = [result for result in results if result.status != "invalid"]
    done = [result for result in counted if result.status == "ok"]
    macro = competency_means(counted).values()
    seconds = sum(result.agent_seconds + result.env_seconds for result in done)
    rejected: dict[str, int] = defaultdict(int)
    for result in done:
        for reason, count in result.rejected.items():
            rejected[reason] += count
    return AgentSummary(
        agent=agent,
        episodes=len(results),
        failed=len(counted) - len(done),
        invalid=len(results) - len(counted),
        score=_mean(counted, lambda result: result.score),
        score_macro=math.fsum(macro) / len(macro) if macro else None,
        interval=mean_interval(Play(r.task, r.episode_id, r.score) for r in counted),
        normalised=_normalised(counted, by_agent),
        r_chunk=_mean(done, lambda result: result.r_chunk),
        r_fmt=_mean(done, lambda result: result.r_fmt),
        compression=_mean(done, lambda result: result.compression),
        memory_tokens=_mean(done, lambda result: result.memory_tokens),
        episode_return=_mean(done, lambda result: result.episode_return),
        steps_per_second=sum(result.steps for result in done) / seconds if seconds else None,
        rejected=dict(sorted(rejected.items())),
        apart=any(result.memory_tokens is None for result in done),
        early=_mean(done, lambda result: result.early),
        late=_mean(done, lambda result: result.late),
        costs=costs(done),
    )


def _mean(results: Sequence[Result], value: Callable[[Result], float | None]) -> float | None:
    known = [number for result in results if (number := value(result)) is not None]
    return math.fsum(known) / len(known) if known else None


def competency_means(results: Sequence[Result]) -> dict[str, float]:
    """Mean score of each competency that was played, in the order AR, TTL, LRU, CR."""
    groups: dict[str, list[float]] = defaultdict(list)
    for result in results:
        if result.status != "invalid":
            groups[result.competency].append(result.score)
    return {
        name: math.fsum(groups[name]) / len(groups[name])
        for name in ("AR", "TTL", "LRU", "CR")
        if name in groups
    }


def _normalised(results: Sequence[Result], by_agent: Mapping[str, list[Result]]) -> float | None:
    """(score − skip) / (oracle − skip) over the episodes that all three were scored on."""
    scores = [
        {result.place: result.score for result in group if result.status != "invalid"}
        for group in (results, by_agent.get(FLOOR, []), by_agent.get(CEILING, []))
    ]
    shared = set.intersection(*map(set, scores))
    own, floor, ceiling = (math.fsum(group[i] for i in shared) for group in scores)
    return (own - floor) / (ceiling - floor) if ceiling > floor else None


_COLUMNS = {
    "agent": "agent",
    "episodes": "episodes",
    "failed": "failed",
    "invalid": "invalid",
    "score": "score",
    "score_macro": "macro",
    "interval": "95 % interval",
    "normalised": "normalised",
    "r_chunk": "r_chunk",
    "r_fmt": "r_fmt",
    "compression": "compression",
    "memory_tokens": "memory tokens",
    "episode_return": "return",
    "steps_per_second": "steps/s",
}
_DECIMALS = {"memory_tokens": 0, "steps_per_second": 0}


def render_table(rows: Sequence[AgentSummary]) -> str:
    """The table as text, with what belongs below it."""
    return render_cells(table_cells(rows), rows)


def render_cells(cells: Cells, rows: Sequence[AgentSummary]) -> str:
    """Cells about `rows` as text, with what belongs below them."""
    return text_table(*cells) + footnote(rows) + beside(rows)


def table_cells(rows: Sequence[AgentSummary]) -> Cells:
    """Headings and one row per agent; "-" where a number does not exist.

    The columns of failed episodes, invalid episodes and the macro-mean appear when they say more
    than the others, those of costs (`tables.cost`) when an agent called a model.
    """
    shown = {key: any(getattr(row, key) for row in rows) for key in ("invalid", "failed")}
    shown["score_macro"] = any(row.score_macro != row.score for row in rows)
    keys = [key for key in _COLUMNS if shown.get(key, True)]
    cells = [[cell(getattr(row, key), _DECIMALS.get(key, 3)) for key in keys] for row in rows]
    heading, spent = cost_columns(rows)
    cells = [[*own, *more] for own, more in zip(cells, spent, strict=True)]
    return [*(_COLUMNS[key] for key in keys), *heading], cells


def footnote(rows: Sequence[AgentSummary]) -> str:
    """The line below a table that names the agents ranked apart, none where there are none."""
    names = [row.agent for row in rows if row.apart]
    return f"\n{APART}: {', '.join(names)}" if names else ""


def cell(value: object, decimals: int = 3) -> str:
    """A number, interval or name as it stands in a table; "-" where there is none."""
    if isinstance(value, tuple):
        return interval(value)
    if isinstance(value, float) or value is None:
        return number(value, decimals)
    return str(value)

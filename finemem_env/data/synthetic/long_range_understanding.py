"""Long-range understanding: questions about several events, which need a running tally.

    Mara Velmor fed the goat at dawn.  …  Mara Velmor fed the goat in the rain.
    → How many times has Mara Velmor fed the goat?   2
    → In which order has Mara Velmor sailed to the ports?   Tasin, Korbel, Dumat
    → Who has joined both teams of Velmor?   Mara Velmor and Dova Rintak

No single sentence answers them; the tallies of `kinds.merge` do. A minority of plain facts, as in
accurate retrieval, makes storing everything better than nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from finemem_env.data.synthetic.base import SyntheticSource
from finemem_env.data.synthetic.draft import Emitter, EpisodeDraft, Probe, allot, fixed
from finemem_env.data.synthetic.facts import make_facts, plain_probes
from finemem_env.data.synthetic.knobs import COMMON
from finemem_env.data.synthetic.runs import EventRun, count_run, order_run, run_probes, team_run

# Runs come in this order; a count costs two events or more, an order three, a team pair five.
_CYCLE = ("count", "order", "count", "team")
_COST = {"count": 2, "order": 3, "team": 5}
_PER_QUESTION = 3.2  # events and facts that one thing to ask about takes, on average


class LongRangeUnderstandingSource(SyntheticSource):
    """Counts, orders and both-teams questions.

    Knobs beside the common ones:

    - `aggregates` (.75): share of the final questions that need a tally; the rest are plain facts.
    - `repeats` (5): the most times that one deed is repeated (2 to so many).
    """

    knobs: ClassVar[Mapping[str, object]] = COMMON | {
        "facts_per_chunk": 5,
        "asked_fraction": 0.4,
        "aggregates": 0.75,
        "repeats": 5,
    }
    questions_per_chunk: ClassVar[float] = 1.5
    facts_per_question: ClassVar[float] = _PER_QUESTION

    def compose(self, draft: EpisodeDraft) -> list[Probe]:
        """Spread the events, fill up with plain facts, and ask for the sums at the end."""
        room = [quota.facts for quota in draft.quotas]
        runs = self._runs(draft, sum(room))
        emitters: list[list[Emitter]] = [[] for _ in draft.quotas]
        for run, chunks in zip(
            runs, allot(draft.draw, [len(r.lines) for r in runs], room), strict=True
        ):
            for t in chunks:
                emitters[t].append(run.emit)
        places = [t for t, left in enumerate(room) for _ in range(left)]
        draft.draw.shuffle(places)
        facts = make_facts(draft, len(places))
        for fact, t in zip(facts, places, strict=True):
            fact.place([t], draft.namer)
            emitters[t].append(fixed(fact.sentences[0]))
        draft.subjects.extend([*runs, *facts])
        draft.write(emitters, draft.hearsay)
        run_probes(draft, runs)
        plain_probes(draft, facts)
        tallied = round(self.share("aggregates") * self.questions)
        tallied = min(max(tallied, self.questions - len(facts)), len(runs))
        finals = [run.final() for run in draft.draw.sample(runs, tallied)]
        finals += [fact.final() for fact in draft.draw.sample(facts, self.questions - tallied)]
        return finals

    def _runs(self, draft: EpisodeDraft, statements: int) -> list[EventRun]:
        things = max(self.questions, int(statements / _PER_QUESTION))
        shapes = [_CYCLE[i % len(_CYCLE)] for i in range(round(self.share("aggregates") * things))]
        plain = things - len(shapes)
        while sum(_COST[shape] for shape in shapes) + plain > statements:
            shapes.pop()
        counts = [2] * shapes.count("count")
        spare = statements - plain - sum(_COST[shape] for shape in shapes)
        self._repeat(draft, counts, spare)
        sizes = iter(counts)
        makers = {"order": order_run, "team": team_run}
        runs = [
            count_run(draft, next(sizes)) if shape == "count" else makers[shape](draft)
            for shape in shapes
        ]
        return sorted(runs, key=lambda run: -len(run.lines))

    def _repeat(self, draft: EpisodeDraft, counts: list[int], spare: int) -> None:
        """Hand out `spare` further repetitions at random, up to `repeats` each."""
        most = self.integer("repeats")
        growing = [i for i in range(len(counts)) if most > 2]
        while spare and growing:
            i = draft.draw.choice(growing)
            counts[i] += 1
            spare -= 1
            if counts[i] == most:
                growing.remove(i)

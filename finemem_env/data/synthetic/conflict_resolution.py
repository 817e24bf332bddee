"""Conflict resolution: facts that later chunks overwrite, beside facts that never change.

    Date: 2024-01-03.   The locker code of Mara Velmor is QX417.
    Date: 2024-01-09.   The locker code of Mara Velmor is BD035.
    → What is the locker code of Mara Velmor?   BD035

Only the chunks carry dates: two versions side by side in a memory cannot be told apart, so keeping
superseded facts costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from finemem_env.data.synthetic.base import SyntheticSource
from finemem_env.data.synthetic.draft import Emitter, EpisodeDraft, Probe, allot, fixed
from finemem_env.data.synthetic.facts import choose_finals, make_facts, plain_probes
from finemem_env.data.synthetic.knobs import COMMON
from finemem_env.data.synthetic.words import Draw


class ConflictResolutionSource(SyntheticSource):
    """Facts that change value.

    Knobs beside the common ones:

    - `changed` (.5): share of the facts, and of the final questions, that are overwritten.
    - `overwrites` (4): the most times that a fact is overwritten; each has 1 to so many.
    """

    knobs: ClassVar[Mapping[str, object]] = COMMON | {"changed": 0.5, "overwrites": 4}
    facts_per_question: ClassVar[float] = 2.0

    def compose(self, draft: EpisodeDraft) -> list[Probe]:
        """Spread the versions over different chunks; ask for the last one at the end."""
        room = [quota.facts for quota in draft.quotas]
        versions = self._versions(draft.draw, sum(room))
        facts = make_facts(draft, len(versions))
        several = [count for count in versions if count > 1]
        places = allot(draft.draw, several, room)
        rest = [t for t, left in enumerate(room) for _ in range(left)]
        draft.draw.shuffle(rest)
        emitters: list[list[Emitter]] = [[] for _ in draft.quotas]
        for fact, chunks in zip(facts, [*places, *([t] for t in rest)], strict=True):
            fact.place(chunks, draft.namer)
            for sentence, t in zip(fact.sentences, chunks, strict=True):
                emitters[t].append(fixed(sentence))
        draft.subjects.extend(facts)
        draft.write(emitters, draft.hearsay)
        plain_probes(draft, facts)
        changed, stable = facts[: len(several)], facts[len(several) :]
        share = self.share("changed")
        chosen = choose_finals(draft.draw, changed, stable, share, self.questions)
        return [fact.final() for fact in chosen]

    def _versions(self, draw: Draw, statements: int) -> list[int]:
        """How many versions each fact has, most first; they add up to `statements`."""
        most = min(self.integer("overwrites"), self.length - 1)
        facts = max(self.questions, -(-statements // 2))
        changed = min(round(self.share("changed") * facts), statements - facts) if most > 0 else 0
        extra = [1] * changed
        spare = statements - facts - changed
        open_facts = [i for i in range(changed) if most > 1]
        while spare and open_facts:
            i = draw.choice(open_facts)
            extra[i] += 1
            spare -= 1
            if extra[i] == most:
                open_facts.remove(i)
        counts = sorted((1 + count for count in extra), reverse=True)
        return counts + [1] * (statements - sum(counts))

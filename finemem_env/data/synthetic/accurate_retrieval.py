"""Accurate retrieval: single facts among look-alikes, hearsay and small talk, asked much later.

Date: 2024-01-03.
The locker code of Mara Velmor is QX417. Rumour has it that the locker code of Mara Velmor is …
→ What is the locker code of Mara Velmor?   QX417
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from finemem_env.data.synthetic.base import SyntheticSource
from finemem_env.data.synthetic.draft import Emitter, EpisodeDraft, Probe, fixed
from finemem_env.data.synthetic.facts import Fact, choose_finals, make_facts, plain_probes
from finemem_env.data.synthetic.knobs import COMMON


class AccurateRetrievalSource(SyntheticSource):
    """Facts stated once.

    Knobs beside the common ones:

    - `delay` (.6): share of the final questions on facts of the first half of the chunks.
    - `midway` (0): share of the final questions asked right after a step between the fact and the
      last chunk (`asked_after`), not at the end.
    """

    knobs: ClassVar[Mapping[str, object]] = COMMON | {"delay": 0.6, "midway": 0.0}

    def compose(self, draft: EpisodeDraft) -> list[Probe]:
        """One sentence a fact, every fact asked about at its chunk, some again at the end."""
        places = [t for t, quota in enumerate(draft.quotas) for _ in range(quota.facts)]
        facts = make_facts(draft, len(places))
        emitters: list[list[Emitter]] = [[] for _ in draft.quotas]
        for fact, t in zip(facts, places, strict=True):
            fact.place([t], draft.namer)
            emitters[t].append(fixed(fact.sentences[0]))
        draft.subjects.extend(facts)
        draft.write(emitters, draft.hearsay)
        plain_probes(draft, facts)
        half = len(draft.quotas) / 2
        early = [fact for fact in facts if fact.chunks[0] < half]
        late = [fact for fact in facts if fact.chunks[0] >= half]
        chosen = choose_finals(draft.draw, early, late, self.share("delay"), self.questions)
        return self._finals(draft, chosen)

    def _finals(self, draft: EpisodeDraft, facts: list[Fact]) -> list[Probe]:
        draft.draw.shuffle(facts)
        midway = round(self.share("midway") * len(facts))
        finals = []
        for i, fact in enumerate(facts):
            left = len(draft.quotas) - 1 - fact.chunks[0]
            early = i < midway and left > 0
            finals.append(fact.final(fact.chunks[0] + draft.draw.below(left) if early else None))
        return finals

"""MQuAKE: facts, some of which are replaced later; the later sentence holds.

Facts of several cases are told as plain sentences, one a line, in random order, except that a
replacement always comes after what it replaces. The publisher's record is shown in `edits`. Names:
`mquake_sh` asks single facts, `mquake_mh` chains of four, `mquake` both. There are no chunk
questions. Cases that contradict each other never meet in one episode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from finemem_env.data.adapters.edit_questions import final_questions, shuffled, split_cases
from finemem_env.data.adapters.edits import EditedFact, Selection, arrange, parse_cases
from finemem_env.data.files import parsed
from finemem_env.data.packing import Passage
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.data.whole import WholeSource
from finemem_env.errors import ConfigError
from finemem_env.types import Episode, Evidence


class MquakeSource(WholeSource):
    """Cases drawn without replacement, told whole.

    Knob `cases` (default 20): most cases in an episode, about nine sentences each.
    """

    separator = "\n"
    knobs: ClassVar[Mapping[str, object]] = {"cases": 20}

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._most = int(str(self.difficulty["cases"]))
        if self._most < 1:
            raise ConfigError(f"difficulty['cases']: expected at least 1, got {self._most}.")
        cases = parsed(parse_cases, self.file("mquake/MQuAKE-hard.json"), self.reading)
        self._cases = split_cases(cases, config.split)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Tell what was true and what replaced it, then ask what is true."""
        selection = Selection()
        for case in shuffled(rng, self._cases):
            if len(selection.cases) == self._most:
                break
            selection.add(case)
        facts = arrange(rng, [*selection.before.values(), *selection.edited])
        layout = self.cut(rng, [Passage(fact.sentence) for fact in facts])
        places = {(fact.key, fact.value): number for number, fact in enumerate(facts)}

        def evidence(fact: EditedFact) -> tuple[Evidence, ...]:
            return layout.evidence(places[fact.key, fact.value], 0, len(fact.sentence))

        hops = str(self.spec.options["hops"])
        questions = final_questions(rng, selection, hops, evidence)
        return self.compose(index, [chunk.text for chunk in layout.chunks], questions)

"""The tasks of the credit study: generated episodes that differ in one respect at a time.

Kinds of sentences are told from the surface, so the policy needs no look into the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from benchmarks.policy import BROKEN, UPDATE
from finemem_env.data.synthetic.english import ENGLISH
from finemem_env.data.synthetic.kinds import is_asked_kind

KINDS = ("asked", "rumour", "visitor", "wonder", "talk", "date")
_RUMOUR = ENGLISH.rumour.partition("{")[0]
_WONDER = ENGLISH.wonder.partition("}")[2].partition("{")[0]
_DATE = ENGLISH.date.partition("{")[0]


@dataclass(frozen=True, slots=True)
class CreditTask:
    """One row of the study; the first is the reference, each other changes what its name says.

    `questions`: final questions of a training episode; evaluation asks the default two a chunk.
    `start`: first logits of policy choices other than kinds of sentences, which start at 0.
    """

    description: str
    env_id: str = "FineMem-AR-v0"
    num_chunks: int = 10
    questions: int = 2
    memory_budget: float | str = 0.4
    difficulty: dict[str, object] = field(default_factory=dict)
    start: dict[str, float] = field(default_factory=dict)

    def keywords(self, questions: int) -> dict[str, Any]:
        """Keywords of the environment with so many final questions (0: the default)."""
        return {
            # Only UPDATE needs to see the memory; rendering it takes most of the rest's time.
            "memory_view": "all" if UPDATE in self.start else "recent:1",
            "num_chunks": self.num_chunks,
            "memory_budget": self.memory_budget,
            "difficulty": {"questions": questions, **self.difficulty},
        }


_MISALIGNED: dict[str, object] = {"misaligned_chunk_questions": True}
_NOISE = {BROKEN: -0.85}  # 30 % of the operations

TASKS: dict[str, CreditTask] = {
    "reference": CreditTask("T = 10, 2 final questions, budget .4, chunk questions on asked facts"),
    "many questions": CreditTask("20 final questions", questions=20),
    "long": CreditTask("T = 40", num_chunks=40),
    "long, many questions": CreditTask("T = 40, 80 final questions", num_chunks=40, questions=80),
    "no budget": CreditTask("no memory budget", memory_budget="unlimited"),
    "format noise": CreditTask("30 % of the operations start misspelt", start=_NOISE),
    "misaligned": CreditTask("chunk questions on what finals never ask", difficulty=_MISALIGNED),
    "misaligned, many": CreditTask(
        "the same, 20 final questions", questions=20, difficulty=_MISALIGNED
    ),
    "changing facts": CreditTask(
        "facts are overwritten; UPDATE or INSERT", env_id="FineMem-CR-v0", start={UPDATE: 0.0}
    ),
    "tallies": CreditTask(
        "sums over events; UPDATE or INSERT", env_id="FineMem-LRU-v0", start={UPDATE: 0.0}
    ),
}


@lru_cache(maxsize=65536)
def _kind(sentence: str) -> str:
    if is_asked_kind(sentence):
        return "asked"
    if sentence.startswith(_RUMOUR):
        return "rumour"
    if sentence.startswith(_DATE):
        return "date"
    if _WONDER in sentence:
        return "wonder"
    return "visitor" if "visitor " in sentence.casefold() else "talk"


def kind_of(chunk: int, sentence: str) -> str:
    """The kind of a generated English sentence, one of `KINDS`; the chunk does not matter."""
    return _kind(sentence)

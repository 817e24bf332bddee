"""Final questions on edited facts: one fact, or a chain of facts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from finemem_env.data.adapters.edits import Case, EditedFact, Selection
from finemem_env.data.files import split_of
from finemem_env.data.packing import FINAL_QUESTIONS
from finemem_env.text import normalise
from finemem_env.types import Evidence, Question

# Share of single-hop questions on facts that never change: keeping only what was replaced last
# must not be enough.
_UNCHANGED = 0.25


def split_cases(cases: Sequence[Case], split: str) -> list[Case]:
    """The cases of `split`, 80/10/10 by a hash of their id."""
    return [case for case in cases if split_of(case.id) == split]


def shuffled(rng: np.random.Generator, cases: Sequence[Case]) -> Iterator[Case]:
    """`cases` in random order."""
    return (cases[i] for i in rng.permutation(len(cases)).tolist())


def final_questions(
    rng: np.random.Generator,
    selection: Selection,
    hops: str,
    evidence: Callable[[EditedFact], tuple[Evidence, ...]],
    spared: Collection[tuple[str, str]] = (),
) -> tuple[Question, ...]:
    """Up to 100 questions on what is true in the end, shuffled, each text once.

    Args:
        rng: draws facts, wordings and order.
        selection: the cases that the context tells.
        hops: "single" asks one fact (a quarter of them facts that never change), "multi" a chain,
            "both" half and half.
        evidence: where a fact is told, () where it is not; such facts are not asked.
        spared: (subject, relation) of the edited facts that are not asked on their own.
    """
    single = list(_single(rng, selection, evidence, spared)) if hops != "multi" else []
    multi = list(_multi(rng, selection, evidence)) if hops != "single" else []
    if hops == "both":
        multi = multi[: max(FINAL_QUESTIONS // 2, FINAL_QUESTIONS - len(single))]
    unique: dict[str, Question] = {}
    for question in [*multi, *single]:
        unique.setdefault(normalise(question.question), question)
    questions = list(unique.values())[:FINAL_QUESTIONS]
    return tuple(questions[i] for i in rng.permutation(len(questions)).tolist())


def _single(
    rng: np.random.Generator,
    selection: Selection,
    evidence: Callable[[EditedFact], tuple[Evidence, ...]],
    spared: Collection[tuple[str, str]],
) -> Iterator[Question]:
    """Edited facts with one unchanged fact after every three, until both run out."""
    edited = [f for f in selection.edited if f.answers and f.key not in spared and evidence(f)]
    constant = [f for f in selection.unchanged if f.answers and evidence(f)]
    queues = [[facts[i] for i in rng.permutation(len(facts))] for facts in (edited, constant)]
    for number in range(len(edited) + len(constant)):
        turn = int(number % round(1 / _UNCHANGED) == 0)
        fact = (queues[turn] or queues[1 - turn]).pop()
        kind = "unchanged" if fact.value == selection.before[fact.key].value else "edited"
        yield Question(
            f"{kind}-{number}",
            fact.question,
            fact.answers,
            evidence=evidence(fact),
            excluded=selection.others(fact, of_its_relation=False),
        )


def _multi(
    rng: np.random.Generator,
    selection: Selection,
    evidence: Callable[[EditedFact], tuple[Evidence, ...]],
) -> Iterator[Question]:
    for case in shuffled(rng, selection.cases):
        wording = case.questions[int(rng.integers(len(case.questions)))]
        evidences = [evidence(fact) for fact in case.after]
        if case.answers and all(evidences):
            yield Question(
                f"case-{case.id}",
                wording,
                case.answers,
                type="multi_hop",
                evidence=tuple(dict.fromkeys(entry for part in evidences for entry in part)),
                # The facts on the way may be told beside the answer.
                excluded=selection.others(case.after[-1], of_its_relation=True),
            )

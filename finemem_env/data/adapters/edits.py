"""MQuAKE cases as facts before and after an edit, and which cases can share one context.

One record of the publisher's MQuAKE-hard.json (MQuAKE-CF-3k*.json and -T.json look alike):

    {"case_id": 7417,
     "requested_rewrite": [{"prompt": "{} was performed by", "relation_id": "P175",
                            "subject": "Hey Jude", "question": "Who performed Hey Jude?",
                            "target_true": {"str": "The Beatles", "id": "Q1299"},
                            "target_new": {"str": "Madonna", "id": "Q1744"}}, …],
     "questions": ["What is the official language of …?", …],
     "answer": "English", "answer_alias": ["eng"],
     "new_answer": "Arabic", "new_answer_alias": ["Arabic language"],
     "single_hops": [{"question": "Who performed Hey Jude?", "cloze": "Hey Jude was performed by",
                      "answer": "The Beatles", "answer_alias": ["Beatles"]}, …],
     "new_single_hops": [… the same for the path after the edits …],
     "orig": {"triples": [["Q607742", "P175", "Q1299"], …],
              "triples_labeled": [["Hey Jude", "performer", "The Beatles"], …],
              "new_triples": […], "new_triples_labeled": […]}}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from finemem_env.data.aliases import telling
from finemem_env.data.files import Reading, read_list
from finemem_env.fields import Fields
from finemem_env.scoring import score
from finemem_env.text import split_sentences
from finemem_env.types import Question

_Key = tuple[str, str]  # (subject, relation id)


@dataclass(frozen=True, slots=True)
class EditedFact:
    """One sentence with the question that it answers; `answers` is () where asking is unfair."""

    key: _Key
    sentence: str
    value: str
    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One chain of facts, before and after its edits.

    `before` holds every fact that was true, `after` what is true of the asked chain in the end.
    `answers` to the multi-hop `questions` are those after the edits.
    """

    id: str
    before: tuple[EditedFact, ...]
    after: tuple[EditedFact, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(slots=True)
class Selection:
    """Cases that agree on every fact they share, merged."""

    cases: list[Case] = field(default_factory=list)
    before: dict[_Key, EditedFact] = field(default_factory=dict)
    after: dict[_Key, EditedFact] = field(default_factory=dict)

    def add(self, case: Case) -> bool:
        """Take `case` in, unless one of its facts contradicts what is there."""
        if _conflict(case.before, self.before) or _conflict(case.after, self.after):
            return False
        self.cases.append(case)
        for fact in case.before:
            self.before.setdefault(fact.key, fact)
        for fact in case.after:
            self.after.setdefault(fact.key, fact)
        return True

    def others(self, fact: EditedFact, *, of_its_relation: bool) -> tuple[str, ...]:
        """Values that are told, now or before, beside that of `fact`, sorted."""
        facts = [*self.before.values(), *self.after.values()]
        values = {f.value for f in facts if f.key[1] == fact.key[1] or not of_its_relation}
        return tuple(sorted(values - {fact.value}))

    @property
    def edited(self) -> list[EditedFact]:
        """The later versions of the facts that change."""
        return [f for f in self.after.values() if f.value != self.before[f.key].value]

    @property
    def unchanged(self) -> list[EditedFact]:
        """The facts that never change."""
        changed = {fact.key for fact in self.edited}
        return [fact for fact in self.before.values() if fact.key not in changed]


def _conflict(facts: Iterable[EditedFact], known: dict[_Key, EditedFact]) -> bool:
    return any(known.get(fact.key, fact).value != fact.value for fact in facts)


def arrange(rng: np.random.Generator, facts: Sequence[EditedFact]) -> list[EditedFact]:
    """`facts` in random order, except that of two with one key the first given stays first."""
    order = rng.permutation(len(facts)).tolist()
    place: dict[_Key, int] = {}
    for position, number in enumerate(order):
        other = place.setdefault(facts[number].key, position)
        if order[other] > number:
            order[other], order[position] = number, order[other]
    return [facts[number] for number in order]


def sentence_of(cloze: str, value: str) -> str:
    """The sentence that a cloze text and its answer make."""
    text = f"{cloze} {value}"
    return text if text.endswith(".") else f"{text}."


def parse_cases(path: Path, reading: Reading) -> tuple[Case, ...]:
    """The cases of a MQuAKE file; those are left out that have a fact of more than one sentence.

    Raises:
        DataError: the file is not of the publisher's form.
    """
    cases = reading.each(_case, read_list(path, reading))
    return tuple(
        case
        for case in cases
        if all(len(split_sentences(f"0. {f.sentence}")) == 1 for f in case.before + case.after)
    )


def _case(record: Fields) -> Case:
    old_hops = _hops(record, "single_hops", "triples")
    new_hops = _hops(record, "new_single_hops", "new_triples")
    old = {key: sentence_of(hop.text("cloze"), hop.text("answer")) for key, hop in old_hops}
    before = {key: _fact(key, hop, ()) for key, hop in old_hops}
    for key, rewrite in _rewrites(record):
        value = rewrite.child("target_true").text("str")
        cloze = rewrite.text("prompt").replace("{}", key[0])
        old[key] = sentence_of(cloze, value)
        question = rewrite.text("question")
        before[key] = EditedFact(key, old[key], value, question, _fair((value,), (question,)))
    edited = {key for key, _ in _rewrites(record)}
    after = {}
    for key, hop in new_hops:
        after[key] = _fact(key, hop, (old[key],) if key in edited else ())
        if key not in edited:
            before[key] = after[key]
    wrong = (record.text("answer"), *record.texts("questions"))
    golds = (record.text("new_answer"), *record.texts("new_answer_alias", []))
    return Case(
        id=str(record.index("case_id")),
        before=tuple(before.values()),
        after=tuple(after.values()),
        questions=record.texts("questions"),
        answers=_fair(golds, wrong),
    )


def _rewrites(record: Fields) -> list[tuple[_Key, Fields]]:
    rewrites = []
    for rewrite in record.children("requested_rewrite"):
        rewrites.append(((rewrite.text("subject"), rewrite.text("relation_id")), rewrite))
    return rewrites


def _hops(record: Fields, hops: str, triples: str) -> list[tuple[_Key, Fields]]:
    """Every hop of a chain with its (subject, relation id)."""
    origin = record.child("orig")
    ids, labels = origin.items(triples), origin.items(f"{triples}_labeled")
    entries = record.children(hops)
    if not len(ids) == len(labels) == len(entries):
        raise record.error(hops, f"one hop for each of the {len(ids)} {triples}")
    keys = []
    for triple, labelled in zip(ids, labels, strict=True):
        if not (_is_triple(triple) and _is_triple(labelled)):
            raise origin.error(triples, "a list of [subject, relation, object] texts")
        keys.append((labelled[0], triple[1]))  # type: ignore[index]
    return list(zip(keys, entries, strict=True))


def _is_triple(entry: object) -> bool:
    return (
        isinstance(entry, list) and len(entry) == 3 and all(isinstance(part, str) for part in entry)
    )


def _fact(key: _Key, hop: Fields, superseded: tuple[str, ...]) -> EditedFact:
    question, value = hop.text("question"), hop.text("answer")
    golds = (value, *hop.texts("answer_alias", []))
    sentence = sentence_of(hop.text("cloze"), value)
    return EditedFact(key, sentence, value, question, _fair(golds, (question, *superseded)))


def _fair(golds: Sequence[str], wrong: Sequence[str]) -> tuple[str, ...]:
    """The golds that no text of `wrong` contains; () if the first, the answer, is not one."""
    kept = []
    for gold in telling(golds):
        probe = Question(id="", question="", answers=(gold,))
        if not any(score(text, probe) for text in wrong):
            kept.append(gold)
    return tuple(kept) if kept[:1] == list(golds[:1]) else ()

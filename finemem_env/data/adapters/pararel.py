"""ParaRel's T-REx pairs as single facts: the padding of long lists of facts.

One line of the publisher's trex_lms_vocab/P19.jsonl (the file name is the relation):

    {"sub_label": "Allan Peiper", "obj_label": "Alexandra", "uuid": "6a9d91c1-eb9b-…"}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from finemem_env.data.adapters.edits import EditedFact, sentence_of
from finemem_env.data.files import Reading, each_record, parsed, read_json
from finemem_env.fields import Fields
from finemem_env.text import normalise, split_sentences

# The relations that MQuAKE's template files lack: (cloze, question).
_TEMPLATES: dict[str, tuple[str, str]] = {
    "P1001": ("[X] belongs to the jurisdiction of __", "Which jurisdiction does [X] belong to?"),
    "P101": ("[X] specialises in the field of __", "Which field does [X] specialise in?"),
    "P103": ("The native language of [X] is __", "What is the native language of [X]?"),
    "P1303": ("The instrument that [X] plays is __", "Which instrument does [X] play?"),
    "P1376": ("[X] is the capital of __", "What is [X] the capital of?"),
    "P138": ("[X] is named after __", "Who or what is [X] named after?"),
    "P279": ("[X] is a kind of __", "What is [X] a kind of?"),
    "P31": ("[X] is an instance of __", "What is [X] an instance of?"),
    "P361": ("[X] is part of __", "What is [X] part of?"),
    "P39": ("The office that [X] held is __", "Which office did [X] hold?"),
    "P47": ("[X] shares a border with __", "What does [X] share a border with?"),
    "P527": ("[X] consists of __", "What does [X] consist of?"),
    "P530": (
        "[X] has diplomatic relations with __",
        "Which country does [X] have diplomatic relations with?",
    ),
}


def filler_facts(
    files: Iterable[Path],
    clozes: Path,
    questions: Path,
    taken: Collection[EditedFact],
    reading: Reading,
) -> tuple[EditedFact, ...]:
    """Every pair as a fact, without those that contradict each other or touch a fact of `taken`.

    Left out are (subject, relation) pairs with several objects, questions with several answers,
    relations without a template, and facts that are more than one sentence.

    Args:
        files: the publisher's P*.jsonl.
        clozes: MQuAKE's cloze_templates.json.
        questions: MQuAKE's question_templates.json.
        taken: facts whose (subject, relation) or question must stay theirs alone.
        reading: how the files are read.
    """
    templates = parsed(_parse_templates, clozes, reading)
    wordings = parsed(_parse_templates, questions, reading)
    keys = {_folded(fact.key) for fact in taken}
    texts = {normalise(fact.question) for fact in taken}
    facts: dict[tuple[str, str], EditedFact] = {}
    asked_by: dict[str, EditedFact] = {}
    dropped: set[tuple[str, str]] = set()
    for path in files:
        relation = path.stem
        own = _TEMPLATES.get(relation, ("", ""))
        cloze, question = templates.get(relation, own[0]), wordings.get(relation, own[1])
        if not cloze or not question:
            continue
        for subject, value in parsed(each_record(_pair), path, reading):
            fact = _fact(subject, relation, value, cloze, question)
            key = _folded(fact.key)
            twin = asked_by.setdefault(normalise(fact.question), fact)
            if facts.setdefault(key, fact).value != value:
                dropped.add(key)
            if _folded(twin.key) != key:  # two relations, one wording
                dropped |= {key, _folded(twin.key)} if twin.value != value else {key}
    return tuple(
        fact
        for key, fact in facts.items()
        if key not in dropped
        and key not in keys
        and normalise(fact.question) not in texts
        and len(split_sentences(f"0. {fact.sentence}")) == 1
    )


def _folded(key: tuple[str, str]) -> tuple[str, str]:
    return normalise(key[0]), key[1]


def _fact(subject: str, relation: str, value: str, cloze: str, question: str) -> EditedFact:
    text = cloze.replace("[X]", subject).removesuffix("__").strip()
    return EditedFact(
        (subject, relation),
        sentence_of(text, value),
        value,
        question.replace("[X]", subject),
        (value,),
    )


def _parse_templates(path: Path, reading: Reading) -> Mapping[str, str]:
    fields = Fields(read_json(path, reading), str(path), hint=reading.hint)
    return {relation: fields.text(relation) for relation in fields}


def _pair(record: Fields) -> tuple[str, str]:
    return " ".join(record.text("sub_label").split()), " ".join(record.text("obj_label").split())

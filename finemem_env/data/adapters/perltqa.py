"""PerLTQA (English): the life of one invented person, event by event, questions on the events.

The publisher's Dataset/en_v2/perltmem_en_v2.json (memories) and perltqa_en_v2.json (questions):

    {"Wang Xiaoming": {
        "events": {"1_0_0": {"content": "Wang Xiaoming and his sister …", "summary": "Explore …",
                             "Creation Time": "May 12, 2022", …}},
        "dialogues": {"1_0_0#0": {"events": "1_0_0",
                                  "contents": {"2022-05-12 10:00": ["Wang Xiaohong: …", …]}}},
        "profile": {…}, "profile_description": "…", "social_relationship": {…}}}

    [{"Zhang Xiaohong": {"events": [{"4_0_0": [
        {"Question": "Why does Zhang Xiaoming feel stressed?", "Answer": "Zhang Xiaoming feels …",
         "Reference Memory": "['4_0_0']", "Memory Anchors": [{"Work": [96, 97]}]}]}], …}}]

Built as Mem-α's (arXiv 2509.25911): one chunk an event with its dialogues, at most 30. There, a
model shortened the answers to keywords; here the publisher's memory anchors are the keywords, and a
question is kept when all of them are in its chunk. People are split 80/10/10 by a hash of the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from finemem_env.data.files import Reading, parsed, read_json, split_of
from finemem_env.data.packing import FINAL_QUESTIONS, deal_questions
from finemem_env.data.passages import PassageSource
from finemem_env.data.source import FILE_KNOB, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import Fields
from finemem_env.text import normalise
from finemem_env.types import Episode, Evidence, Question

_MOST_CHUNKS = 30
_LEAST_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class _EventQuestion:
    event: str
    question: str
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    events: tuple[tuple[str, str], ...]  # (id, text), in the file's order
    asked: tuple[_EventQuestion, ...]


class PerltqaSource(PassageSource):
    """One person an episode; `size` is the number of people in the split with 20 questions.

    Knob `file` (""): which of several versions, such as "v2".
    """

    knobs: ClassVar[Mapping[str, object]] = FILE_KNOB

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if config.num_chunks is not None or config.chunk_tokens is not None:
            raise ConfigError(
                f"source {self.name!r} has one chunk an event: num_chunks and chunk_tokens do not "
                "apply."
            )
        paths = (
            self.file("perltqa/perltmem_en*.json"),
            self.file("perltqa/perltqa_en*.json"),
        )
        people = parsed(_parse, paths, self.reading)
        self._people = [person for person in people if split_of(person.name) == config.split]
        self.size = len(self._people)
        if not self._people:
            raise ConfigError(f"source {self.name!r} has nobody in split {config.split!r}.")

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """The events of person `index`; some questions are asked right after their chunk."""
        person = self._people[index]
        steps = {event: step for step, (event, _) in enumerate(person.events)}
        questions = [
            Question(
                id=f"q{i}",
                question=question.question,
                answers=(";".join(question.keywords),),
                metric="keyword_fraction",
                evidence=(Evidence(steps[question.event]),),
            )
            for i, question in enumerate(person.asked)
        ]
        reserved, final = deal_questions(rng, questions, len(person.events), FINAL_QUESTIONS)
        texts = [text for _, text in person.events]
        return self.compose(index, texts, final, reserved, {"person": person.name})


def _parse(paths: tuple[Path, ...], reading: Reading) -> tuple[_Person, ...]:
    memories, about = (read_json(path, reading) for path in paths)
    if not isinstance(about, list):
        raise DataError(f"{paths[1]}: expected a list of people. {reading.hint}")
    by_name: dict[str, object] = {}
    for entry in about:
        by_name.update(Fields(entry, str(paths[1]), hint=reading.hint).mapping_of_all())

    def person(named: tuple[str, object]) -> _Person:
        name, memory = named
        events = _events(Fields(memory, f"{paths[0]}: {name}", hint=reading.hint))
        section = Fields(
            by_name.get(name, {"events": []}), f"{paths[1]}: {name}", hint=reading.hint
        )
        return _Person(name, events, _questions(section, dict(events), reading))

    told_of = Fields(memories, str(paths[0]), hint=reading.hint).mapping_of_all()
    people = reading.each(person, told_of.items())
    return tuple(person for person in people if len(person.asked) >= _LEAST_QUESTIONS)


def _events(person: Fields) -> tuple[tuple[str, str], ...]:
    """(event id, text) of at most 30 events: time, content, dialogues."""
    spoken: dict[str, list[str]] = {}
    dialogues = person.child("dialogues")
    for key in dialogues:
        dialogue = dialogues.child(key)
        contents = dialogue.child("contents")
        for time in contents:
            lines = [" ".join(line.split()) for line in contents.texts(time)]
            block = "\n".join((f"[Dialogue on {time}]", *lines))
            spoken.setdefault(dialogue.text("events"), []).append(block)
    events = person.child("events")
    texts = []
    for key in list(events)[:_MOST_CHUNKS]:
        event = events.child(key)
        head = f"[{event.text('Creation Time', '') or 'Some day'}] {event.text('summary', '')}"
        text = " ".join(event.text("content").split())
        texts.append((key, "\n\n".join((f"{head.strip()}\n{text}", *spoken.get(key, ())))))
    return tuple(texts)


def _questions(
    section: Fields, events: Mapping[str, str], reading: Reading
) -> tuple[_EventQuestion, ...]:
    questions: dict[str, _EventQuestion] = {}
    for entry in section.children("events"):
        for key in entry:
            if key in events:
                text = normalise(events[key])
                for question in reading.each(_asked_on(key), entry.children(key)):
                    if question.keywords and all(normalise(k) in text for k in question.keywords):
                        questions.setdefault(normalise(question.question), question)
    return tuple(questions.values())


def _asked_on(event: str) -> Callable[[Fields], _EventQuestion]:
    return lambda record: _EventQuestion(event, record.text("Question"), _anchors(record))


def _anchors(record: Fields) -> tuple[str, ...]:
    """The phrases of the publisher's memory anchors, those with a separator left out."""
    phrases = [
        " ".join(key.split()) for anchor in record.children("Memory Anchors") for key in anchor
    ]
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase and ";" not in phrase))

"""LoCoMo: two people's conversations over months, session by session, with dated questions.

The publisher's data/locomo10.json is a list of ten such objects; older copies are a folder of files
with one each, where the sessions stand beside "qa":

    {"sample_id": "conv-26",
     "conversation": {"speaker_a": "Caroline", "speaker_b": "Melanie",
                      "session_1_date_time": "1:56 pm on 8 May, 2023",
                      "session_1": [{"speaker": "Caroline", "dia_id": "D1:1", "text": "Hey Mel! …"},
                                    {"speaker": "Melanie", "dia_id": "D1:14", "text": "Yeah, …",
                                     "blip_caption": "a photo of a painting", …}, …], …},
     "qa": [{"question": "When did Melanie paint a sunrise?", "answer": 2022,
             "evidence": ["D1:14"], "category": 2}, …]}

An episode is a conversation, a chunk a session (or as `num_chunks`, `chunk_tokens` say). Categories
are 1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop and 5 adversarial, which has no answer. The
first conversation is for training, the second for validation, the others for testing, as Memory-R1
(arXiv 2508.19828) has them. Question j of conversation i is "locomo_<i>_qa<j>", both from 0, as the
published audit of the golds names it: `exclude=` leaves its list out.

A caption stands in the turn that shares its image, "[shows a photo of a painting]". With
`difficulty={"images": True}` images are media instead, with the caption as text; the publisher
ships no files, but locomo/images/conv-26/D1_14.jpg (.png, .gif, .webp) is taken where it is there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from finemem_env.data.files import Reading, parsed, read_json
from finemem_env.data.media import read_medium
from finemem_env.data.published.memalpha import answer_texts
from finemem_env.data.sessions import (
    Place,
    Shared,
    Talk,
    TalkQuestion,
    TalkSession,
    TalkSource,
    Transcript,
)
from finemem_env.data.source import FILE_KNOB, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import Fields
from finemem_env.scoring.abstention import NO_ANSWER
from finemem_env.types import Chunk, Episode, Medium, Question, Task

_SESSION = re.compile(r"session_(\d+)")
_TURN = re.compile(r"D:?(\d+):(\d+)")
_SHOWS, _SHARES = "[shows ", "[shares an image]"
_ENDINGS = ("png", "jpg", "jpeg", "gif", "webp")
_CATEGORIES: dict[int, tuple[str, Task]] = {
    1: ("multi-hop", "multi_hop"),
    2: ("temporal", "fact"),
    3: ("open-domain", "fact"),
    4: ("single-hop", "fact"),
    5: ("adversarial", "fact"),
}


class LocomoSource(TalkSource):
    """One conversation an episode; `size` is the number of conversations in the split.

    Knobs: `categories` ("1,2,3,4,5"), which are asked; `images` (False), whether shared images are
    media; `file` (""), which of several files.
    """

    knobs: ClassVar[Mapping[str, object]] = {
        "categories": "1,2,3,4,5",
        "images": False,
        **FILE_KNOB,
    }

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._categories = _chosen(str(self.difficulty["categories"]))
        files = self.files("locomo/*.json")
        if self.difficulty["file"]:
            files = [self.file("locomo/*.json")]
        self.has_media = bool(self.difficulty["images"])
        self._images = files[0].parent / "images"
        dialogues = parsed(_parse, tuple(files), self.reading)
        self._dialogues = tuple(
            talk
            for split, talk in dialogues
            if split == config.split and any(map(self._asks, talk.asked))
        )
        for dialogue in self._dialogues if self.has_media else ():
            for shared in dialogue.shared:  # what is wrong is said now
                self._image(dialogue.name, shared.name)
        self.size = len(self._dialogues)
        if not self._dialogues:
            raise ConfigError(
                f"source {self.name!r}: {len(dialogues)} conversation(s) with none for split "
                f"{config.split!r} that asks in these categories; fewer than three are all for "
                "'test'."
            )

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Conversation `index`; all its questions are final."""
        dialogue = self._dialogues[index]
        sessions = _sharing(dialogue) if self.has_media else dialogue.sessions
        transcript = self.tell(rng, sessions)
        return Episode(
            episode_id=self.episode_id(index),
            competency="AR",
            source=self.name,
            chunks=self._illustrated(dialogue, transcript),
            questions=tuple(map(transcript.question, filter(self._asks, dialogue.asked))),
            metadata={
                "split": self.config.split,
                "index": index,
                "conversation": dialogue.name,
                **self.chosen,
            },
        )

    def _illustrated(self, dialogue: Talk, transcript: Transcript) -> tuple[Chunk, ...]:
        """The chunks, with the images that their turns share."""
        chunks = list(transcript.chunks())
        for shared in dialogue.shared if self.has_media else ():
            for entry in transcript.evidence([shared.place])[-1:]:
                chunk = chunks[entry.chunk]
                medium = Medium("image", shared.text, self._image(dialogue.name, shared.name))
                chunks[entry.chunk] = dataclasses.replace(chunk, media=(*chunk.media, medium))
        return tuple(chunks)

    def _image(self, conversation: str, name: str) -> bytes:
        """The bytes of an image where its file is there."""
        for ending in _ENDINGS:
            path = f"{conversation}/{name}.{ending}"
            if (self._images / path).is_file():
                return read_medium(self._images, path, "image", f"source {self.name!r}")
        return b""

    def _asks(self, question: TalkQuestion) -> bool:
        return question.question.metadata["category"] in self._categories


def _sharing(dialogue: Talk) -> tuple[TalkSession, ...]:
    """The sessions without the captions of the images that their turns share."""
    turns = [list(session.turns) for session in dialogue.sessions]
    for shared in dialogue.shared:
        session, turn = shared.place
        said = turns[session][turn]
        turns[session][turn] = said[: said.rindex(_SHOWS)] + _SHARES
    return tuple(
        dataclasses.replace(session, turns=tuple(said))
        for session, said in zip(dialogue.sessions, turns, strict=True)
    )


def _chosen(text: str) -> frozenset[str]:
    """The names of the categories in a list of numbers.

    Raises:
        ConfigError: something else.
    """
    numbers = [number.strip() for number in text.split(",")]
    if not all(number.isdecimal() and int(number) in _CATEGORIES for number in numbers):
        raise ConfigError(f"difficulty['categories']: expected some of 1,2,3,4,5, got {text!r}.")
    return frozenset(_CATEGORIES[int(number)][0] for number in numbers)


def _split(number: int, count: int) -> str:
    """The split of conversation `number` of the file: one that is left out moves no other."""
    return "test" if count < 3 or number > 1 else ("train", "val")[number]


def _parse(paths: tuple[Path, ...], reading: Reading) -> tuple[tuple[str, Talk], ...]:
    contents = [(path, read_json(path, reading)) for path in paths]
    if len(contents) > 1 and any(isinstance(content, list) for _, content in contents):
        names = ", ".join(path.name for path in paths)
        raise DataError(
            f"{paths[0].parent}: expected one list of conversations, or a file for each, found "
            f"{names}; leave one there or name it with difficulty={{'file': '…'}}. {reading.hint}"
        )
    records = [
        Fields(record, f"{path}{place}", hint=reading.hint)
        for path, content in contents
        for place, record in (
            [(f": record {i}", entry) for i, entry in enumerate(content)]
            if isinstance(content, list)
            else [("", content)]
        )
    ]
    if not records:
        raise DataError(
            f"{paths[0]}: expected at least one conversation, found none. {reading.hint}"
        )

    def dialogue(numbered: tuple[int, Fields]) -> tuple[str, Talk]:
        number, record = numbered
        return _split(number, len(records)), _dialogue(record, number, reading)

    return tuple(reading.each(dialogue, enumerate(records)))


def _dialogue(record: Fields, number: int, reading: Reading) -> Talk:
    spoken = record.child("conversation") if "conversation" in record else record
    people = " and ".join(spoken.text(key) for key in ("speaker_a", "speaker_b") if key in spoken)
    opening = f"[Dialogue between {people}" if people else "[Dialogue"
    order = sorted(int(match[1]) for key in spoken if (match := _SESSION.fullmatch(key)))
    sessions: list[TalkSession] = []
    places: dict[Place, Place] = {}
    images: list[Shared] = []
    for name in order:
        date = " ".join(spoken.text(f"session_{name}_date_time", "").split())
        header = f"{opening} on {date}]" if date else f"{opening}]"
        turns: list[str] = []
        for turn in spoken.children(f"session_{name}"):
            said = _said(turn)
            if said:
                place, dia = (len(sessions), len(turns)), _named(turn.text("dia_id"), turn)
                places[dia] = place
                turns.append(said)
                caption = _caption(turn)
                if caption:
                    speaker = " ".join(turn.text("speaker").split())
                    told_by = f"{speaker} shows {caption}"
                    images.append(Shared(place, f"D{dia[0]}_{dia[1]}", told_by))
        if turns:
            sessions.append(TalkSession(header, date, tuple(turns)))
    if not sessions:
        raise record.error("session_1", "at least one session with a turn that says something")

    def asked(numbered: tuple[int, Fields]) -> TalkQuestion:
        return _asked(numbered[1], f"locomo_{number}_qa{numbered[0]}", places)

    questions = reading.each(asked, enumerate(record.children("qa")))
    if not questions:
        raise record.error("qa", "at least one question")
    sample = str(record.get("sample_id") or number)
    return Talk(sample, tuple(sessions), tuple(questions), tuple(images))


def _said(turn: Fields) -> str:
    """What a turn says and shows, "" for nothing."""
    text = " ".join(turn.text("text", "").split())
    shown = _caption(turn)
    said = f"{text} {_SHOWS}{shown}]".strip() if shown else text
    return f"{' '.join(turn.text('speaker').split())}: {said}" if said else ""


def _caption(turn: Fields) -> str:
    return " ".join(str(turn.get("blip_caption") or "").split())


def _named(dia_id: str, turn: Fields) -> Place:
    match = _TURN.fullmatch(dia_id.strip())
    if match is None:
        raise turn.error("dia_id", "an id such as D1:3")
    return int(match[1]), int(match[2])


def _asked(entry: Fields, name: str, places: Mapping[Place, Place]) -> TalkQuestion:
    number = entry.index("category")
    if number not in _CATEGORIES:
        raise entry.error("category", "1, 2, 3, 4 or 5")
    category, task = _CATEGORIES[number]
    golds = (NO_ANSWER,) if number == 5 else answer_texts(entry.get("answer"))
    if not golds:
        raise entry.error("answer", "a text or a number")
    if number == 3:  # what follows a semicolon explains
        golds = tuple(gold.split(";")[0].strip() or gold for gold in golds)
    metadata: dict[str, object] = {"category": category}
    if entry.get("adversarial_answer") is not None:
        metadata["adversarial_answer"] = str(entry.get("adversarial_answer"))
    # Several ids may stand in one text, and some are of no turn.
    named = _TURN.findall(" ".join(map(str, entry.items("evidence", []))))
    turns = [places.get((int(session), int(turn))) for session, turn in named]
    question = Question(
        id=name,
        question=" ".join(entry.text("question").split()),
        answers=golds,
        metric="locomo/f1",
        type=task,
        metadata=metadata,
        unanswerable=number == 5,
    )
    return TalkQuestion(question, tuple(dict.fromkeys(turn for turn in turns if turn is not None)))

"""BEAM: one long conversation an episode, questions on ten abilities, graded nugget by nugget.

The publisher's chats/100K/1/chat.json (chats of 100K, 500K, 1M and 10M tokens), and beside it
probing_questions/probing_questions.json:

    [{"batch_number": 1, "turns": [[
        {"role": "user", "id": 0, "time_anchor": "March-15-2024", "index": "1,1",
         "question_type": "main_question", "content": "I'm working on … ->-> 1,1"},
        {"role": "assistant", "id": 1, "content": "Certainly! …"}], …]}, …]

    {"information_extraction": [
        {"question": "When does my first sprint end?", "answer": "It ends on March 29.",
         "difficulty": "easy", "source_chat_ids": [28], …,
         "rubric": ["LLM response should state: March 29"]}, …], …}

Where chat_trunecated.json lies beside it, that is the chat, as in the publisher's scripts; chats of
10M tokens hold plans of batches, and the copy on the hub holds batches as lists of messages. Chunks
are of at most 2,048 tokens unless packing is asked for. The metric "beam/nuggets" needs a judge;
the knob `metric` takes another one, for the written answers. It is a test set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from finemem_env.data.files import Reading, parsed, read_json
from finemem_env.data.packing import Passage
from finemem_env.data.passages import Layout
from finemem_env.data.sessions import Place, Talk, TalkQuestion, TalkSession, TalkSource
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.fields import Fields
from finemem_env.scoring import METRICS
from finemem_env.types import Episode, Question

_QUESTIONS = "probing_questions/probing_questions.json"
_CHATS = ("chat_trunecated.json", "chat.json")  # the first that is there
_SIZES = ("100K", "500K", "1M", "10M")
_MARK = re.compile(r"(?<!\s)\s*->->[\s\d,]*\Z")
_GOLDS = ("answer", "ideal_answer", "ideal_response", "ideal_summary", "expected_compliance")
_ANSWER_TOKENS = {"summarization": 600}
_SHORT_ANSWER_TOKENS = 300


class BeamSource(TalkSource):
    """The chats of one size.

    Knobs: `chats` ("100K"), their size: 100K, 500K, 1M or 10M; `metric` ("beam/nuggets").
    """

    knobs: ClassVar[Mapping[str, object]] = {"chats": "100K", "metric": "beam/nuggets"}
    chunk_tokens: ClassVar[tuple[int, int]] = (2048, 2048)

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        chats, metric = str(self.difficulty["chats"]), str(self.difficulty["metric"])
        if config.split != "test":
            raise ConfigError(f"source {self.name!r} is a test set: use split='test'.")
        if chats not in _SIZES:
            raise ConfigError(nearest("difficulty['chats']", chats, _SIZES))
        if metric not in METRICS:
            raise ConfigError(nearest("metric", metric, METRICS))
        self._chats = self.sound(self._chat, sorted(self._found(chats), key=_number))
        self.size = len(self._chats)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Chat `index`; all its questions are final."""
        chat = self._chats[index]
        transcript = self.tell(rng, chat.sessions)
        metric = str(self.difficulty["metric"])
        questions = tuple(transcript.question(asked, metric=metric) for asked in chat.asked)
        about = {"split": "test", "index": index, "chat": chat.name, **self.chosen}
        chunks = transcript.chunks()
        return Episode(self.episode_id(index), "AR", self.name, chunks, questions, about)

    def cut_talk(self, rng: np.random.Generator, passages: Sequence[Passage]) -> Layout:
        """Chunks of at most so many tokens, unless their number is asked for."""
        if self.config.num_chunks is not None:
            return self.cut(rng, passages)
        return self.fill(rng, passages)

    def _found(self, chats: str) -> list[Path]:
        """The questions of every chat of a size; a folder that was given may be any of theirs."""
        if self.config.path is not None:
            questions = sorted(self.config.path.glob(f"**/{_QUESTIONS}"))
            sized = [path for path in questions if chats in path.absolute().parts]
            if questions:
                return sized or questions
        return self.files(f"beam/chats/{chats}/*/{_QUESTIONS}")

    def _chat(self, questions: Path) -> Talk:
        folder = questions.parent.parent
        names = [name for name in _CHATS if (folder / name).is_file()]
        if not names:
            raise DataError(f"{folder / _CHATS[-1]} is missing. {self.hint}")
        return parsed(_parse, (folder / names[0], questions), self.reading)


def _number(path: Path) -> tuple[int, str]:
    name = path.parent.parent.name
    return (int(name) if name.isdecimal() else 0), name


def _parse(paths: tuple[Path, ...], reading: Reading) -> Talk:
    chat, probing = paths
    name = f"{chat.parent.parent.name}/{chat.parent.name}"
    sessions, places = _sessions(read_json(chat, reading), str(chat), reading)
    content = Fields(read_json(probing, reading), str(probing), hint=reading.hint)
    entries = [
        (ability, number, entry)
        for ability in content
        for number, entry in enumerate(content.children(ability))
    ]

    def question(numbered: tuple[str, int, Fields]) -> TalkQuestion:
        ability, number, entry = numbered
        return _asked(entry, ability, f"{name}/{ability}-{number}", places)

    questions = reading.each(question, entries)
    if not questions:
        raise content.error("abstention", "at least one sound question in the file")
    return Talk(name, sessions, tuple(questions))


def _batches(content: object) -> Iterator[list[object]]:
    """Lists of messages: a batch of turns, or the inner list of any other nesting."""
    if isinstance(content, Mapping):
        if "turns" in content:
            yield [message for batch in _batches(content["turns"]) for message in batch]
        else:
            for plan in content.values():
                yield from _batches(plan)
    elif isinstance(content, list):
        if any(isinstance(entry, Mapping) and "role" in entry for entry in content):
            yield content
        else:
            for entry in content:
                yield from _batches(entry)


def _sessions(
    content: object, where: str, reading: Reading
) -> tuple[tuple[TalkSession, ...], dict[int, Place]]:
    """A session a batch and day, and where each message went; an id used twice has no place."""
    sessions: list[TalkSession] = []
    places: dict[int, Place] = {}
    twice: set[int] = set()
    date, turns = "", list[str]()

    def close() -> None:
        if turns:
            header = f"[Dialogue between User and Assistant on {date}]"
            sessions.append(TalkSession(header if date else "[Dialogue]", date, tuple(turns)))
            turns.clear()

    for number, batch in enumerate(_batches(content)):
        for entry in batch:
            message = Fields(entry, f"{where}: batch {number}", hint=reading.hint)
            anchor = str(message.get("time_anchor") or "").strip() or date
            if anchor != date:  # another day begins, within a batch as well
                close()
                date = anchor
            speaker = message.option("role", ("user", "assistant")).capitalize()
            text = _MARK.sub("", message.text("content", "")).strip()
            name = message.index("id")
            if text and name is not None:
                twice |= {name} & places.keys()
                places[name] = (len(sessions), len(turns))
            if text:
                turns.append(f"<{speaker}> {text}")
        close()
    if not sessions:
        raise Fields({}, where, hint=reading.hint).error("turns", "messages that say something")
    return tuple(sessions), {name: at for name, at in places.items() if name not in twice}


def _asked(entry: Fields, ability: str, name: str, places: Mapping[int, Place]) -> TalkQuestion:
    gold = next((entry.text(key) for key in _GOLDS if entry.get(key)), None)
    if gold is None:
        raise entry.error("answer", f"one of {', '.join(_GOLDS)}")
    rubric = entry.texts("rubric")
    if not rubric:
        raise entry.error("rubric", "at least one criterion")
    question = Question(
        id=name,
        question=" ".join(entry.text("question").split()),
        answers=(gold.strip(),),
        type="summary" if ability == "summarization" else "fact",
        metadata={
            "ability": ability,
            "difficulty": str(entry.get("difficulty") or ""),
            "rubric": list(rubric),
            "answer_tokens": _ANSWER_TOKENS.get(ability, _SHORT_ANSWER_TOKENS),
        },
        unanswerable=ability == "abstention",
    )
    named = [places[number] for number in _ids(entry.get("source_chat_ids")) if number in places]
    return TalkQuestion(question, tuple(dict.fromkeys(named)))


def _ids(value: object) -> Iterator[int]:
    """Message ids in a list, or in the lists of a mapping."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _ids(entry)
    elif isinstance(value, int):
        yield value

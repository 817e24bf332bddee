"""ReDial: conversations in which one person recommends films to another.

One line of the publisher's train_data.jsonl and test_data.jsonl; "@" and a number is a film:

    {"conversationId": "391", "initiatorWorkerId": 0, "respondentWorkerId": 1,
     "movieMentions": {"111776": "Super Troopers (2001)", …},
     "messages": [{"messageId": 1021, "senderWorkerId": 0, "timeOffset": 0,
                   "text": "Hi I am looking for a movie like @111776"}, …],
     "respondentQuestions": {"111776": {"suggested": 0, "seen": 1, "liked": 1}, …},
     "initiatorQuestions": {…}}

The context are whole conversations of the training file; a question is a held-out conversation up
to its first recommendation, to be answered by a numbered list of films. Golds are the films that
the recommender names from then on, without those that the forms at the end mark as not suggested
(the seeker's form decides where both have the film) and those named before. recall@5 matches the
nearest titles of the set. Titles keep their years: "Heat (1995)" and "Heat (1986)" are two films.
What the forms say of each gold is in the question's metadata: suggested, seen, liked (0 no, 1 yes,
2 not said).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from finemem_env.data.files import bucket, each_record, parsed
from finemem_env.data.packing import FINAL_QUESTIONS, Passage
from finemem_env.data.passages import PassageSource
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.fields import Fields
from finemem_env.types import Episode, Question

_FILM = re.compile(r"@(\d+)")
_FORMS = ("respondentQuestions", "initiatorQuestions")  # the later one decides


@dataclass(frozen=True, slots=True)
class _FilmTalk:
    """A conversation: its turns, and the part before the first suggestion with what followed."""

    id: str
    text: str
    opening: str
    titles: tuple[str, ...]
    # What the forms say of each film.
    suggested: Mapping[str, Mapping[str, int]] = field(hash=False)


class RedialSource(PassageSource):
    """Conversations as context, recommendations for held-out ones.

    Contexts come from the training file, less the tenth of it that "val" asks about; "test" asks
    about the test file.
    """

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        training = parsed(each_record(_talk), self.file("redial/train_data.jsonl"), self.reading)
        testing = parsed(each_record(_talk), self.file("redial/test_data.jsonl"), self.reading)
        self._titles = _all_titles(training, testing)
        shown = tuple(talk for talk in training if bucket(talk.id, 10) != 9)
        pools = {
            "train": shown,
            "val": tuple(talk for talk in training if bucket(talk.id, 10) == 9),
            "test": testing,
        }
        self._shown = shown
        self._asked = [talk for talk in pools[config.split] if talk.opening and talk.suggested]

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Hold out the questions' conversations, pack others."""
        targets = self.targets(rng)
        order = rng.permutation(len(self._asked))[:FINAL_QUESTIONS].tolist()
        talks = [self._asked[i] for i in order]
        held_out = {talk.id for talk in talks}
        passages = (
            Passage(self._shown[i].text)
            for i in rng.permutation(len(self._shown)).tolist()
            if self._shown[i].id not in held_out
        )
        layout = self.pack(passages, targets)
        questions = [
            Question(
                id=f"q{talk.id}",
                question=f"{talk.opening}\nWhich films should I watch?",
                answers=tuple(talk.suggested),
                metric="recall@5",
                metadata={"titles": self._titles, "forms": talk.suggested},
            )
            for talk in talks
        ]
        return self.compose(index, [chunk.text for chunk in layout.chunks], questions)


@lru_cache(maxsize=4)
def _all_titles(*files: tuple[_FilmTalk, ...]) -> list[str]:
    """One list that all questions share."""
    return sorted({title for talks in files for talk in talks for title in talk.titles})


def _talk(record: Fields) -> _FilmTalk:
    mentions = record.get("movieMentions")
    films = {
        key: " ".join(str(title).split())
        for key, title in (mentions.items() if isinstance(mentions, Mapping) else ())
        if title and str(title).strip()
    }
    marks = _marks(record)
    seeker = str(record.get("initiatorWorkerId"))
    turns: list[str] = []
    opening: list[str] = []
    suggested: dict[str, Mapping[str, int]] = {}
    named: set[str] = set()  # before the first suggestion
    for message in record.children("messages"):
        raw = " ".join(message.text("text", "").split())
        mine = str(message.get("senderWorkerId")) == seeker
        if not raw:
            continue
        text = _FILM.sub(lambda match: films.get(match[1], match[0]), raw)
        turns.append(f"{'User' if mine else 'Recommender'}: {text}")
        said = [key for key in _FILM.findall(raw) if key in films]
        if not mine:
            for key in said:
                about = marks.get(key, {})
                if about.get("suggested", 1) and films[key] not in named:
                    suggested[films[key]] = about
        if not suggested:
            opening.append(turns[-1])
            named |= {films[key] for key in said}
    asks = any(turn.startswith("User") for turn in opening)
    return _FilmTalk(
        id=str(record.get("conversationId")),
        text="\n".join(turns),
        opening="\n".join(opening) if asks else "",
        suggested=suggested,
        titles=tuple(films.values()),
    )


def _marks(record: Fields) -> dict[str, Mapping[str, int]]:
    """What the forms say of each film; an empty form is a list."""
    marks: dict[str, Mapping[str, int]] = {}
    for form in _FORMS:
        answers = record.get(form)
        for key, about in answers.items() if isinstance(answers, Mapping) else ():
            if isinstance(about, Mapping):
                marks[str(key)] = {
                    mark: int(about[mark])
                    for mark in ("suggested", "seen", "liked")
                    if isinstance(about.get(mark), int)
                }
    return marks

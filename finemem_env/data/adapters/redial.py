"""ReDial: conversations in which one person recommends films to another.

One line of the publisher's train_data.jsonl and test_data.jsonl; "@" and a number is a film:

    {"conversationId": "391", "initiatorWorkerId": 0, "respondentWorkerId": 1,
     "movieMentions": {"111776": "Super Troopers (2001)", …},
     "messages": [{"messageId": 1021, "senderWorkerId": 0, "timeOffset": 0,
                   "text": "Hi I am looking for a movie like @111776"}, …],
     "respondentQuestions": {"111776": {"suggested": 0, "seen": 1, "liked": 1}, …},
     "initiatorQuestions": {…}}

The context are whole conversations of the training file; a question is a held-out conversation up
to its first recommendation, to be answered by a numbered list of films. The golds are the films
that were suggested in it, and recall@5 matches the nearest titles of the set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from finemem_env.data.adapters.passages import PassageSource
from finemem_env.data.files import bucket, parsed, read_jsonl
from finemem_env.data.packing import FINAL_QUESTIONS, Passage
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.fields import Fields
from finemem_env.scoring.titles import title_of
from finemem_env.types import Episode, Question

__all__ = ["RedialSource"]

_FILM = re.compile(r"@(\d+)")


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation: its turns, and the part before the first suggestion with what followed."""

    id: str
    text: str
    opening: str
    suggested: tuple[str, ...]
    titles: tuple[str, ...]


class RedialSource(PassageSource):
    """Conversations as context, recommendations for held-out ones.

    Contexts come from the training file, less the tenth of it that "val" asks about; "test" asks
    about the test file.
    """

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        training = parsed(_parse, self.files("redial/train_data.jsonl")[0], self.hint)
        testing = parsed(_parse, self.files("redial/test_data.jsonl")[0], self.hint)
        self._titles = _all_titles(training, testing)
        shown = tuple(talk for talk in training if bucket(talk.id, 10) != 9)
        asked = {
            "train": shown,
            "val": tuple(talk for talk in training if bucket(talk.id, 10) == 9),
            "test": testing,
        }
        self._shown = shown
        self._asked = [talk for talk in asked[config.split] if talk.opening and talk.suggested]

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Hold out the questions' conversations, pack others."""
        targets = self.targets(rng)
        order = rng.permutation(len(self._asked))[:FINAL_QUESTIONS].tolist()
        asked = [self._asked[i] for i in order]
        held_out = {talk.id for talk in asked}
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
                answers=talk.suggested,
                metric="mab/recall@5",
                metadata={"titles": self._titles},
            )
            for talk in asked
        ]
        return self.compose(index, [chunk.text for chunk in layout.chunks], questions)


@lru_cache(maxsize=4)
def _all_titles(*files: tuple[_Talk, ...]) -> list[str]:
    """One list that all questions share."""
    return sorted({title for talks in files for talk in talks for title in talk.titles})


def _parse(path: Path, hint: str) -> tuple[_Talk, ...]:
    return tuple(_talk(record) for record in read_jsonl(path, hint))


def _talk(record: Fields) -> _Talk:
    mentions = record.get("movieMentions")
    films = {
        key: title_of(str(title))
        for key, title in (mentions.items() if isinstance(mentions, dict) else ())
        if title and str(title).strip()
    }
    seeker = str(record.get("initiatorWorkerId"))
    turns, opening, suggested = [], [], []
    for message in record.children("messages"):
        raw = " ".join(message.text("text", "").split())
        mine = str(message.get("senderWorkerId")) == seeker
        if not raw:
            continue
        turns.append(f"{'User' if mine else 'Recommender'}: {_named(raw, films)}")
        if not mine:
            suggested += [films[key] for key in _FILM.findall(raw) if key in films]
        if not suggested:
            opening.append(turns[-1])
    asks = bool(opening) and any(turn.startswith("User") for turn in opening)
    return _Talk(
        id=str(record.get("conversationId")),
        text="\n".join(turns),
        opening="\n".join(opening) if asks else "",
        suggested=tuple(dict.fromkeys(suggested)),
        titles=tuple(films.values()),
    )


def _named(text: str, films: dict[str, str]) -> str:
    return _FILM.sub(lambda match: films.get(match[1], match[0]), text)

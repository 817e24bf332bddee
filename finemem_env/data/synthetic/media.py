"""More than text: signs, charts and dialled numbers, asked about much later.

Date: 2024-01-03.
Mara Velmor walked to Osta. …
[image m1, 10 tokens: The sign at the door of Mara Velmor.]      the picture says QX417
→ What does the sign at the door of Mara Velmor say?   QX417

A caption says what the medium is about, and in a share of them (`captioned`) also the answer:
"The sign at the door of Mara Velmor: QX417." The answers of the others are in the medium only.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from finemem_env.data.source import SPLITS, BaseSource, SourceConfig, SourceSpec
from finemem_env.data.synthetic.english import ENGLISH
from finemem_env.data.synthetic.knobs import check_ranges
from finemem_env.data.synthetic.pictures import dial, draw_chart, draw_sign
from finemem_env.data.synthetic.words import DISTINCT_NUMBERS, Draw, Namer
from finemem_env.errors import ConfigError
from finemem_env.types import Chunk, Episode, Evidence, Medium, Question

_CHUNKS = 10
_EPOCH = datetime.date(2024, 1, 1).toordinal()
_DAYS = ("MON", "TUE", "WED", "THU", "FRI")
_BARS, _MOST = 3, 20
# Not the number of tokens that the line of a chart names: it would answer by chance.
CHART_TOKENS = 12
_HEIGHTS = tuple(height for height in range(1, _MOST + 1) if height != CHART_TOKENS)
KINDS = ("sign", "chart", "dial")


class _MediumQuestion(NamedTuple):
    """What a medium answers: two wordings of a question, and the answer."""

    final: str
    probe: str
    answer: str


class _Drawn(NamedTuple):
    """A medium with its questions; `kind` is one of `KINDS`."""

    kind: str
    medium: Medium
    asked: tuple[_MediumQuestion, ...]
    captioned: bool


class MediaSource(BaseSource):
    """Episodes of pictures and sounds among small talk.

    Knobs:

    - `captioned` (.5): share of the media whose caption says the answer too.
    - `media_per_chunk` (2), `sentences_per_chunk` (6): of a chunk; the sentences are never asked.
    - `questions` (0): final questions; 0 is one a medium.
    - `kinds` ("all"): "all", or one of "sign", "chart" and "dial".

    Raises:
        ConfigError: a knob that is unknown, of another type or out of range, more questions than
            media, or a size of chunks, which these knobs decide.
    """

    knobs: ClassVar[Mapping[str, object]] = {
        "captioned": 0.5,
        "media_per_chunk": 2,
        "sentences_per_chunk": 6,
        "questions": 0,
        "kinds": "all",
    }
    has_media = True

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        check_ranges(spec.name, self.difficulty)
        if config.chunk_tokens is not None:
            raise ConfigError(
                f"source {spec.name!r}: chunk_tokens does not apply; set media_per_chunk and "
                "sentences_per_chunk with difficulty=…"
            )
        self.length = config.num_chunks or _CHUNKS
        self._each, self._talk, count = (
            int(str(self.difficulty[knob]))
            for knob in ("media_per_chunk", "sentences_per_chunk", "questions")
        )
        self.questions = count or self.length * self._each
        if self.questions > self.length * self._each:
            raise ConfigError(
                f"difficulty['questions'] of {spec.name!r}: {count} final questions, but there are "
                f"{self.length * self._each} media. Raise num_chunks or media_per_chunk."
            )
        chosen = str(self.difficulty["kinds"])
        self._kinds = KINDS if chosen == "all" else (chosen,)

    def choose(self, rng: np.random.Generator) -> int:
        """An index of those that share no person."""
        return int(rng.integers(DISTINCT_NUMBERS // len(SPLITS)))

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Episode `index`: media, then dates and small talk, then questions."""
        draw = Draw(rng)
        number = index * len(SPLITS) + SPLITS.index(self.config.split)
        namer = Namer(draw, number % DISTINCT_NUMBERS)
        drawn = self._media(draw, namer)
        codes = tuple(question.answer for media in drawn for d in media for question in d.asked)
        excluded = {"chart": tuple(map(str, range(_MOST + 1)))}
        name = self.episode_id(index)
        finals = [
            self._question(draw.choice(medium.asked), medium, t, excluded.get(medium.kind, codes))
            for t, media in enumerate(drawn)
            for medium in media
        ]
        finals = draw.sample(finals, self.questions)
        chunks = []
        day = _EPOCH + draw.below(3650)
        for t, media in enumerate(drawn):
            day += 1 + draw.below(4)
            date = datetime.date.fromordinal(day).isoformat()
            probes = tuple(
                self._question(asked, one, t, excluded.get(one.kind, codes), probe=f"{name}/c{t}")
                for one in media
                for asked in one.asked
            )
            talk = " ".join(_small_talk(draw, namer) for _ in range(self._talk))
            text = f"Date: {date}.\n{talk}"
            pictures = tuple(medium.medium for medium in media)
            chunks.append(Chunk(f"{name}/c{t}", text, date, probes, media=pictures))
        return Episode(
            episode_id=name,
            competency="AR",
            source=self.name,
            chunks=tuple(chunks),
            questions=tuple(finals),
            metadata={"split": self.config.split},
        )

    def _media(self, draw: Draw, namer: Namer) -> list[list[_Drawn]]:
        """What every chunk shows; the captioned ones are a share of all, at random."""
        count = self.length * self._each
        spelled = round(float(str(self.difficulty["captioned"])) * count)
        flags = [True] * spelled + [False] * (count - spelled)
        draw.shuffle(flags)
        made = [_draw(draw.choice(self._kinds), draw, namer, captioned) for captioned in flags]
        return [made[t * self._each : (t + 1) * self._each] for t in range(self.length)]

    def _question(
        self,
        question: _MediumQuestion,
        medium: _Drawn,
        t: int,
        excluded: tuple[str, ...],
        probe: str = "",
    ) -> Question:
        """A final question, or a chunk question whose id begins with `probe`."""
        text = question.probe if probe else question.final
        return Question(
            id=f"{probe or 'q'}/{text}",
            question=text,
            answers=(question.answer,),
            evidence=(Evidence(t),),
            metadata={"medium": medium.kind, "captioned": medium.captioned},
            excluded=excluded,
        )


def _small_talk(draw: Draw, namer: Namer) -> str:
    form = draw.choice(ENGLISH.noise)
    a, b = (
        namer.person("en") if slot == "person" else namer.word("en") for slot in (form.a, form.b)
    )
    return form.sentence.format(a=a, b=b)


def _draw(kind: str, draw: Draw, namer: Namer, captioned: bool) -> _Drawn:
    """A medium of a new person."""
    person = namer.person("en")
    if kind == "chart":
        return _chart(draw, person, captioned)
    if kind == "sign":
        code = namer.code()
        about, data = f"The sign at the door of {person}", draw_sign(code)
        final = f"What does the sign at the door of {person} say?"
        probe = f"Which code is on the sign at the door of {person}?"
    else:
        code = str(1000 + draw.below(9000))
        about, data = f"The number that {person} dials", dial(code)
        final = f"Which number does {person} dial?"
        probe = f"What is the number that {person} dials?"
    caption = f"{about}: {code}." if captioned else f"{about}."
    medium = Medium("audio" if kind == "dial" else "image", caption, data)
    return _Drawn(kind, medium, (_MediumQuestion(final, probe, code),), captioned)


def _chart(draw: Draw, person: str, captioned: bool) -> _Drawn:
    start = draw.below(len(_DAYS) - _BARS + 1)
    bars = {day: draw.choice(_HEIGHTS) for day in _DAYS[start : start + _BARS]}
    about = f"Crates sold by {person}"
    caption = " ".join(f"{about}: {day} {height}." for day, height in bars.items())
    questions = tuple(
        _MediumQuestion(
            f"How many crates were sold by {person} on {day}?",
            f"On {day}, how many crates were sold by {person}?",
            str(height),
        )
        for day, height in bars.items()
    )
    medium = Medium("image", caption if captioned else f"{about}.", draw_chart(bars, _MOST))
    return _Drawn("chart", medium, questions, captioned)

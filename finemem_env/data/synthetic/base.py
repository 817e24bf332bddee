"""What the four generators share: knobs, sizes of chunks, and how an episode is put together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast, get_args

import numpy as np

from finemem_env.data.source import (
    SPLITS,
    AutoTokens,
    BaseSource,
    SourceConfig,
    SourceSpec,
    episode_rng,
)
from finemem_env.data.synthetic.draft import EpisodeDraft, Kind, Probe, Quota
from finemem_env.data.synthetic.kinds import LANGUAGES
from finemem_env.data.synthetic.knobs import COMMON, check_ranges
from finemem_env.data.synthetic.words import DISTINCT_NUMBERS, Draw, Namer
from finemem_env.errors import ConfigError
from finemem_env.types import Chunk, Competency, Episode

_CHUNKS = 10
# Indices below this never share a person's name, whatever the split and the competency.
_DISTINCT = DISTINCT_NUMBERS // (len(SPLITS) * len(get_args(Competency)))


class SyntheticSource(BaseSource):
    """A generator of unlimited episodes; subclasses write sentences and questions into a draft.

    `length` is the number of chunks, `questions` the number of final questions of every episode.

    Raises:
        ConfigError: a knob that is unknown (with the nearest), of another type or out of range, or
            more final questions than the text can answer.
    """

    knobs: ClassVar[Mapping[str, object]] = COMMON
    questions_per_chunk: ClassVar[float] = 2.0
    facts_per_question: ClassVar[float] = 1.0
    separate_lines: ClassVar[bool] = False

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        check_ranges(spec.name, self.difficulty)
        chosen = str(self.difficulty["language"])
        self._languages = tuple(LANGUAGES.values()) if chosen == "mixed" else (LANGUAGES[chosen],)
        self.length = config.num_chunks or _CHUNKS
        self._scale = (1.0, 1.0)
        self.questions = self._count_questions()
        if isinstance(config.chunk_tokens, AutoTokens):
            raise ConfigError(
                f'source {spec.name!r}: chunk_tokens="auto" chooses from the length of a document, '
                f"and this source writes its own; give a number or [min, max]."
            )
        if config.chunk_tokens is not None:
            self._scale = self._measure_scale()
            self.questions = self._count_questions()

    @abstractmethod
    def compose(self, draft: EpisodeDraft) -> list[Probe]:
        """Write every sentence and chunk question; return the final questions."""

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Episode `index`: quotas, sentences, dates, then ids."""
        draw = Draw(rng)
        kinds = get_args(Competency)
        number = (index % _DISTINCT) * len(SPLITS) + SPLITS.index(self.config.split)
        number = number * len(kinds) + kinds.index(self.spec.competency)
        draft = EpisodeDraft(draw, Namer(draw, number), self._languages, self._quotas(draw))
        finals = self.compose(draft)
        draw.shuffle(finals)
        name = self.episode_id(index)
        others = draft.alternatives()
        return Episode(
            episode_id=name,
            competency=next(iter(self.competencies)),
            source=self.name,
            chunks=tuple(self._chunks(draft, name, others)),
            questions=tuple(p.question(f"{name}/q{i}", others) for i, p in enumerate(finals)),
            metadata={"language": str(self.difficulty["language"])},
        )

    def choose(self, rng: np.random.Generator) -> int:
        """An index that is uniform over the first three million, which share no person."""
        return int(rng.integers(_DISTINCT))

    @property
    def capacity(self) -> int:
        """Sentences of the asked kinds in the smallest episode."""
        return self.length * self._quota(self._scale[0]).facts

    def integer(self, knob: str) -> int:
        """The value of a whole-number knob."""
        return cast("int", self.difficulty[knob])

    def share(self, knob: str) -> float:
        """The value of a fractional knob."""
        return float(cast("float", self.difficulty[knob]))

    def _chunks(
        self, draft: EpisodeDraft, name: str, others: Mapping[Kind, tuple[str, ...]]
    ) -> list[Chunk]:
        misaligned = self.difficulty["misaligned_chunk_questions"]
        limit = self.integer("chunk_questions")
        chunks = []
        for t, (date, sentences) in enumerate(zip(draft.dates(), draft.sentences, strict=True)):
            header = draft.language().date.format(date=date)
            probes = (draft.small_talk(t) if misaligned else draft.pools[t])[:limit]
            questions = tuple(p.question(f"{name}/c{t}/q{i}", others) for i, p in enumerate(probes))
            text = f"{header}\n{self._join(sentences)}"
            chunks.append(Chunk(f"{name}/c{t}", text, date, questions))
        return chunks

    def _join(self, sentences: Sequence[str]) -> str:
        if self.separate_lines:
            return "\n".join(sentences)
        if all(map(str.isascii, sentences)):
            return " ".join(sentences)
        text = ""
        for sentence in sentences:
            text += f" {sentence}" if text and text[-1].isascii() else sentence
        return text

    def _quota(self, scale: float) -> Quota:
        """Sentence counts of a chunk `scale` times the default size; the shares stay."""
        wanted = self.integer("facts_per_chunk") * scale
        facts = max(1, round(wanted))
        rest = max(0, round(wanted / self.share("asked_fraction")) - facts)
        distractors = min(rest, round(self.integer("distractors_per_chunk") * scale))
        return Quota(facts, distractors, rest - distractors)

    def _quotas(self, draw: Draw) -> list[Quota]:
        low, high = self._scale
        if low == high:
            return [self._quota(low)] * self.length
        scales = [draw.below(1 << 32) / (1 << 32) for _ in range(self.length)]
        return [self._quota(low + (high - low) * scale) for scale in scales]

    def _count_questions(self) -> int:
        """The number asked for, or the default as far as the text allows."""
        most = max(1, int(self.capacity / self.facts_per_question))
        wanted = self.integer("questions")
        if wanted > most:
            raise ConfigError(
                f"difficulty['questions'] of {self.name!r}: {wanted} final questions, but "
                f"{self.length} chunks of this size answer at most {most}. Raise num_chunks, "
                f"chunk_tokens or facts_per_chunk."
            )
        return wanted or min(max(1, round(self.questions_per_chunk * self.length)), most)

    def _measure_scale(self) -> tuple[float, float]:
        """Default-sized chunks that the smallest and largest chunk of `chunk_tokens` hold."""
        chunks = self.build(episode_rng(self.name, self.config.split, 0), 0).chunks
        size = sum(self.config.count_tokens(chunk.text) for chunk in chunks) / len(chunks)
        low, high = self.config.token_range((1, 1))
        return low / size, high / size

"""From keywords to sessions: what `MemoryEnv` and `MemoryVectorEnv` have in common."""

from __future__ import annotations

import copy
import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from finemem_env import settings
from finemem_env.data.exclude import Exclusion
from finemem_env.data.judging import judged_parts, without_judge
from finemem_env.data.published.dialects import PublishedSource, in_dialect
from finemem_env.data.registry import has_media, left_out, load_source
from finemem_env.data.source import AutoTokens, OnError, Source, SourceConfig
from finemem_env.data.validation import check_told
from finemem_env.errors import ConfigError, DataError, KeywordError, nearest
from finemem_env.memory import observation_chars
from finemem_env.operations import MAX_ACTION_CHARS
from finemem_env.prompts import instructions_for
from finemem_env.readers import check_reader, make_reader
from finemem_env.retrieval import Retriever, make_retriever
from finemem_env.rewards import formulas as rewards
from finemem_env.session import Session, Stream, Streamed, StreamSource
from finemem_env.session.info import versions_of
from finemem_env.spaces import TextSpace
from finemem_env.text import make_counter
from finemem_env.types import Competency, Episode, Judge, Reader

_COMPRESSION_WARNING = 0.5
_DRAWS = 1000  # episodes drawn until one has a question that is not excluded
_PLACES = 20  # of flawed records, named in the versions


class SessionFactory:
    """Everything an environment keeps between episodes: settings, source, reader, counters.

    Whoever takes the retriever's place sets `retriever`, which then makes that of every episode.

    Args:
        competency: what the environment is about; None accepts every competency (the mixture).
        source: a name, a {name: weight} mixture, the path of an episode file, a `Source`, or an
            iterable of chunks and questions (`stream`).
        split: "train", "val" or "test".
        data_dir: parent folder of the sources' folders; None means $FINEMEM_DATA.
        difficulty: knobs of the source.
        num_chunks: chunks per episode of packed and synthetic sources.
        chunk_tokens: their size in tokens, one number, [min, max], or "auto": from the length of
            each document and max_observation_tokens.
        exclude: questions that are never asked, such as those with a wrong gold: their ids, or a
            file of them.
        on_error: "raise" for a flawed record in the source's files, or "skip" to leave it out; the
            count and the places are then in `info["versions"]["left_out"]`.
        reader: a name, a {"name": …} mapping, or a `Reader`.
        judge: the same for a language model that grades, or a `Judge`.
        **keywords: see `settings.resolve`.

    Raises:
        KeywordError: an unknown keyword.
        ConfigError: a value that does not fit.
        DataError: the source's files are missing or malformed.
    """

    def __init__(
        self,
        competency: Competency | None,
        *,
        source: str | Mapping[str, float] | Source | Iterable[Streamed] = "synthetic",
        split: str = "train",
        data_dir: str | os.PathLike[str] | None = None,
        difficulty: Mapping[str, object] | None = None,
        num_chunks: int | None = None,
        chunk_tokens: int | Sequence[int] | str | None = None,
        exclude: Sequence[str] | str | os.PathLike[str] | None = None,
        on_error: OnError = "raise",
        reader: str | Mapping[str, object] | Reader = "local",
        judge: str | Mapping[str, object] | Judge | None = None,
        **keywords: object,
    ) -> None:
        for name in keywords:
            if name not in settings.SETTINGS:
                raise KeywordError.of(name, (*settings.SETTINGS, *settings.SOURCE_KEYWORDS))
        self.settings = settings.resolve(
            reader=reader if _named(reader) else {"name": type(reader).__name__},
            judge={"name": type(judge).__name__} if isinstance(judge, Judge) else judge,
            **keywords,
        )
        self.reader = make_reader(self.settings.reader) if _named(reader) else check_reader(reader)
        self.judge = judge if isinstance(judge, Judge) else _make_judge(self.settings.judge)
        make_retriever(self.settings.retriever, bm25=self.settings.bm25)  # refuses bad options now
        self.retriever: Callable[[], Retriever] | None = None
        self.count_tokens = make_counter(self.settings.tokenizer)
        if difficulty is not None and not isinstance(difficulty, Mapping):
            raise ConfigError(f"difficulty: expected a mapping of knobs, got {difficulty!r}.")
        config = SourceConfig(
            split=split,
            data_dir=Path(data_dir) if data_dir is not None else None,
            num_chunks=num_chunks,
            chunk_tokens=_token_range(chunk_tokens, self.settings.max_observation_tokens),
            difficulty=dict(difficulty or {}),
            count_tokens=self.count_tokens,
            chunking=self.settings.publication.chunking,
            on_error=on_error,
        )
        self.exclusion = Exclusion.of(exclude)
        self.source = _open_source(source, config, competency)
        self._skips = on_error == "skip"
        if isinstance(self.source, StreamSource) and self.exclusion:
            raise ConfigError("exclude: it does not apply to a stream.")
        if self._skips and (self.source is source or isinstance(self.source, StreamSource)):
            raise ConfigError(
                "on_error: it does not apply to a source that reads no files of ours."
            )
        self._check_judge()
        if self.settings.media is None:
            self.settings = dataclasses.replace(self.settings, media=has_media(self.source))
        self.instructions = instructions_for(
            self.settings.memory, self.settings.line_numbers, bool(self.settings.media)
        )
        self._warned = False

    def observation_space(self) -> TextSpace:
        """A fresh observation space."""
        return TextSpace(observation_chars(self.settings) + len(self.instructions) + 2)

    def action_space(self) -> TextSpace:
        """A fresh action space."""
        return TextSpace(MAX_ACTION_CHARS)

    def session(self, rng: np.random.Generator, options: Mapping[str, object] | None) -> Session:
        """A new session; `options={"episode_id": …}` replays that episode.

        Raises:
            ConfigError: an unknown option.
            DataError: an unknown episode id.
        """
        for key in options or {}:
            if key != "episode_id":
                raise ConfigError(nearest("reset option", key, ("episode_id",)))
        wanted = (options or {}).get("episode_id")
        episode = self._draw(rng, wanted)
        questions_rng = np.random.default_rng(rng.integers(2**63))
        retriever = None if self.retriever is None else self.retriever()
        session = Session(
            episode, self.settings, questions_rng, self.count_tokens, retriever=retriever
        )
        self._warn(session.num_chunks)
        return session

    def fork(self) -> SessionFactory:
        """A copy whose reader can be replaced, and whose stream goes on, apart from this one."""
        other = copy.copy(self)
        if isinstance(self.source, StreamSource):
            other.source = copy.copy(self.source)
        return other

    def _draw(self, rng: np.random.Generator, wanted: object) -> Episode | Stream:
        if isinstance(self.source, StreamSource):
            if wanted is not None:
                raise ConfigError("episode_id: a stream cannot be replayed by id.")
            return self.source.open()
        # Drawn in either case, so that replaying by id asks the questions the seed asked.
        episode = self._drawn(self.source, rng)
        if wanted is not None:
            episode = self._asked(self.source.get(str(wanted)))
        check_told(episode, f"episode {episode.episode_id!r}")
        rules = self.settings.publication
        return in_dialect(episode, rules.metric_dialect, rules.query_prefixes)

    def _drawn(self, source: Source, rng: np.random.Generator) -> Episode:
        """An episode that still has a question."""
        for _ in range(_DRAWS):
            drawn = source.draw(rng)
            episode = drawn if self.exclusion is None else self.exclusion.apply(drawn)
            if episode is not None:
                return episode
        raise DataError(
            f"exclude: no question is left in {_DRAWS} episodes drawn one after another."
        )

    def _asked(self, episode: Episode) -> Episode:
        """`episode` without what is excluded."""
        left = episode if self.exclusion is None else self.exclusion.apply(episode)
        if left is None:
            raise DataError(f"episode {episode.episode_id!r}: exclude leaves no question.")
        return left

    def versions(self, session: Session) -> dict[str, str]:
        """What pins the behaviour behind a score."""
        versions = versions_of(session.workspace, self.reader.version)
        if self.judge is not None:
            versions["judge"] = self.judge.version
        if isinstance(self.source, PublishedSource):
            versions["data"] = " ".join(self.source.provenance.values())
        if self.exclusion is not None:
            versions["exclude"] = self.exclusion.version
        if self._skips:
            versions["left_out"] = _summary(left_out(self.source))
        return versions

    def _check_judge(self) -> None:
        """Refuse now what would be refused when such an episode is drawn."""
        if self.judge is not None:
            return
        dialect = self.settings.publication.metric_dialect
        judged = judged_parts(self.source, dialect)
        if judged:
            raise ConfigError(
                f"source {self.source.name!r}: answers of {', '.join(judged)} are graded by a "
                f"judge (metric_dialect={dialect!r}), and there is none. Configure one with judge=…"
                f" or a reader that is a language model{without_judge(self.source)}."
            )

    def _warn(self, steps: int) -> None:
        reward = self.settings.reward
        total = rewards.compression_total(reward, steps)
        if self._warned or reward.broadcast or reward.compression_scale == "episode":
            return
        if total > _COMPRESSION_WARNING:
            self._warned = True
            warnings.warn(
                f"T·w2 = {total:.2f} > {_COMPRESSION_WARNING}: over {steps} steps the compression "
                "term outweighs answering and an empty memory pays; compression_scale='episode' "
                "avoids it.",
                UserWarning,
                stacklevel=4,
            )


def _named(component: object) -> bool:
    """Whether a reader is given by name and options, not as an object."""
    return isinstance(component, str | Mapping)


def _summary(flaws: Sequence[str]) -> str:
    """How many records were left out, and where the first ones are."""
    records = "1 record" if len(flaws) == 1 else f"{len(flaws)} records"
    more = [f"and {len(flaws) - _PLACES} more"] if len(flaws) > _PLACES else []
    return ": ".join([records, *(["; ".join([*flaws[:_PLACES], *more])] if flaws else [])])


def _make_judge(config: Mapping[str, object] | None) -> Judge | None:
    if config is None:
        return None
    if config.get("name") == "local":
        raise ConfigError(
            "judge: the local reader cannot grade; name a language model, such as "
            "{'name': 'openai', 'model': …, 'base_url': …}."
        )
    from finemem_env.readers.models import make_model_judge  # only where a model is asked for

    return make_model_judge(config)


def _open_source(
    source: str | Mapping[str, float] | Source | Iterable[Streamed],
    config: SourceConfig,
    competency: Competency | None,
) -> Source | StreamSource:
    if isinstance(source, Source):
        return source
    if isinstance(source, str | Mapping) or not isinstance(source, Iterable):
        return load_source(source, config, competency)
    return StreamSource(source, competency or "AR")


def _token_range(
    size: int | Sequence[int] | str | None, limit: int | None
) -> int | tuple[int, int] | AutoTokens | None:
    if size is None or isinstance(size, int):
        return size
    if size == "auto":
        if limit is None:
            raise ConfigError('chunk_tokens="auto" needs a finite max_observation_tokens.')
        return AutoTokens.within(limit)
    if isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 2:
        return size[0], size[1]
    raise ConfigError(f'chunk_tokens: expected an integer, [min, max] or "auto", got {size!r}.')

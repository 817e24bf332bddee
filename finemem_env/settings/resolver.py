"""Reward presets, protocols, and the one place where keywords become resolved settings.

Order of precedence: explicit keyword > reward preset > protocol. Presets set attribution, β and the
weights only; protocols set everything else. Values follow Fine-Mem (arXiv 2601.08435) unless a
comment says otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from finemem_env.errors import ConfigError, nearest
from finemem_env.rewards import REWARDS, Attribution, RewardSettings, Weights
from finemem_env.settings.protocols import PROTOCOLS, UNLIMITED

__all__ = ["Dialect", "Publication", "Settings", "resolve"]

QuestionScope = Literal["current", "seen"]
Dialect = Literal["own", "mem-alpha", "mem-alpha-case-bug", "memoryagentbench"]
Publication = Literal["own", "mem-alpha", "memoryagentbench"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings of an environment; `None` in a limit means no limit.

    `memory_budget`: int = tokens, float = share of the episode's tokens. `top_k`: items per
    question (of each store), fewer where they exceed `max_read_tokens` together. `answer_tokens`:
    the reader's longest answer; a published length of the question's own comes first unless it was
    given (`answer_tokens_given`). `max_*_tokens`, `answer_tokens` and budgets are in tokens of
    `tokenizer`. `metric_dialect`, `query_prefixes` and `chunking` name the publication whose
    metrics, prefixes and way of cutting documents are used for its sub-datasets.
    """

    protocol: str
    reward: RewardSettings
    chunk_question_scope: QuestionScope
    chunk_questions: int
    measure_chunk_questions: bool
    memory: str
    memory_budget: int | float | None
    max_item_tokens: int | None
    max_operations: int | None
    memory_view: str
    max_observation_tokens: int | None
    retriever: Mapping[str, object]
    bm25: str
    top_k: int
    max_read_tokens: int | None
    reader: Mapping[str, object]
    judge: Mapping[str, object] | None
    answer_tokens: int
    answer_tokens_given: bool
    metric_dialect: Dialect
    query_prefixes: Publication
    prefix_in_query: bool
    chunking: Publication
    question_fraction: float
    tokenizer: str
    include_instructions: bool

    @property
    def chunk_questions_asked(self) -> int:
        """Chunk questions per step: none where they weigh nothing and were not asked for."""
        measured = self.measure_chunk_questions or self.reward.weights.chunk_qa != 0
        return self.chunk_questions if measured else 0

    def as_dict(self) -> dict[str, object]:
        """JSON-able copy, for run configs."""
        return dataclasses.asdict(self)


def resolve(
    *,
    protocol: str = "managed",
    reward: str | None = None,
    attribution: str | None = None,
    beta: float | None = None,
    weights: Mapping[str, float] | None = None,
    compression_scale: str | None = None,
    chunk_question_scope: str | None = None,
    chunk_questions: int | None = None,
    memory: str | None = None,
    memory_budget: float | str | None = None,
    max_item_tokens: int | str | None = None,
    max_operations: int | str | None = None,
    memory_view: str | None = None,
    max_observation_tokens: int | str | None = None,
    retriever: str | Mapping[str, object] | None = None,
    bm25: str | None = None,
    top_k: int | None = None,
    max_read_tokens: int | str | None = None,
    reader: str | Mapping[str, object] = "local",
    judge: str | Mapping[str, object] | None = None,
    answer_tokens: int | None = None,
    metric_dialect: str | None = None,
    query_prefixes: str | None = None,
    prefix_in_query: bool | None = None,
    chunking: str | None = None,
    question_fraction: float = 1.0,
    tokenizer: str = "approx",
    include_instructions: bool = False,
) -> Settings:
    """Turn the keywords of `gym.make` into settings; None takes the protocol's value.

    Raises:
        ConfigError: an unknown name (with the nearest match), a wrong type or a value out of range.
    """
    bundle = PROTOCOLS[_name("protocol", protocol, PROTOCOLS)]

    def choose(key: str, given: object) -> object:
        return bundle[key] if given is None else given

    return Settings(
        protocol=_name("protocol", protocol, PROTOCOLS),
        reward=_reward(
            choose("reward", reward),
            attribution,
            beta,
            weights,
            choose("compression_scale", compression_scale),
        ),
        chunk_question_scope=cast(
            QuestionScope,
            _one_of(
                "chunk_question_scope",
                choose("chunk_question_scope", chunk_question_scope),
                get_args(QuestionScope),
            ),
        ),
        chunk_questions=_integer(
            "chunk_questions", choose("chunk_questions", chunk_questions), least=0
        ),
        measure_chunk_questions=chunk_questions is not None,
        memory=_one_of("memory", choose("memory", memory), ("flat", "hierarchical")),
        memory_budget=_budget(choose("memory_budget", memory_budget)),
        max_item_tokens=_limit("max_item_tokens", choose("max_item_tokens", max_item_tokens)),
        max_operations=_limit("max_operations", choose("max_operations", max_operations)),
        memory_view=_view(choose("memory_view", memory_view)),
        max_observation_tokens=_limit(
            "max_observation_tokens", choose("max_observation_tokens", max_observation_tokens)
        ),
        retriever=_component("retriever", choose("retriever", retriever)),
        bm25=_one_of("bm25", choose("bm25", bm25), ("lucene", "okapi")),
        top_k=_integer("top_k", choose("top_k", top_k), least=1),
        max_read_tokens=_limit("max_read_tokens", choose("max_read_tokens", max_read_tokens)),
        reader=_component("reader", reader),
        judge=None if judge is None else _component("judge", judge),
        answer_tokens=_integer("answer_tokens", choose("answer_tokens", answer_tokens), least=1),
        answer_tokens_given=answer_tokens is not None,
        metric_dialect=cast(
            Dialect,
            _one_of("metric_dialect", choose("metric_dialect", metric_dialect), get_args(Dialect)),
        ),
        query_prefixes=cast(
            Publication,
            _one_of(
                "query_prefixes", choose("query_prefixes", query_prefixes), get_args(Publication)
            ),
        ),
        prefix_in_query=bool(choose("prefix_in_query", prefix_in_query)),
        chunking=cast(
            Publication, _one_of("chunking", choose("chunking", chunking), get_args(Publication))
        ),
        question_fraction=_fraction(question_fraction),
        tokenizer=tokenizer,
        include_instructions=bool(include_instructions),
    )


def _name(kind: str, given: object, known: Mapping[str, object]) -> str:
    """The known spelling of `given`, matched ignoring case, "-" and "_"."""
    if isinstance(given, str):
        wanted = given.casefold().replace("-", "").replace("_", "")
        for name in known:
            if name.casefold().replace("-", "").replace("_", "") == wanted:
                return name
    raise ConfigError(nearest(kind, given, known))


def _one_of(key: str, given: object, options: tuple[str, ...]) -> str:
    return _name(key, given, dict.fromkeys(options))


def _reward(
    name: object,
    attribution: str | None,
    beta: float | None,
    weights: Mapping[str, float] | None,
    compression_scale: object,
) -> RewardSettings:
    preset = REWARDS[_name("reward", name, REWARDS)]
    changes: dict[str, object] = {"compression_scale": compression_scale}
    if attribution is not None:
        changes["attribution"] = _one_of("attribution", attribution, get_args(Attribution))
    if beta is not None:
        changes["beta"] = beta
    if weights is not None:
        known = [field.name for field in dataclasses.fields(Weights)]
        if not isinstance(weights, Mapping):
            raise ConfigError(
                f"weights: expected a mapping with keys from {known}, got {weights!r}."
            )
        for key in weights:
            if key not in known:
                raise ConfigError(nearest("weight", key, known))
        changes["weights"] = dataclasses.replace(preset.weights, **weights)
    return dataclasses.replace(preset, **changes)  # type: ignore[arg-type]


def _integer(key: str, given: object, *, least: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise ConfigError(f"{key}: expected an integer ≥ {least}, got {given!r}.")
    return given


def _limit(key: str, given: object) -> int | None:
    if given == UNLIMITED:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f'{key}: expected an integer ≥ 1 or "{UNLIMITED}", got {given!r}.')
    return given


def _budget(given: object) -> int | float | None:
    if given == UNLIMITED:
        return None
    if isinstance(given, int | float) and not isinstance(given, bool):
        if isinstance(given, int) and given >= 1:
            return given
        if isinstance(given, float) and given > 0 and math.isfinite(given):
            return given
    raise ConfigError(
        "memory_budget: expected tokens (an integer ≥ 1), a share of the episode's tokens "
        f'(a float > 0, e.g. 0.4) or "{UNLIMITED}", got {given!r}.'
    )


def _fraction(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1:
        raise ConfigError(f"question_fraction: expected a number in (0, 1], got {given!r}.")
    return float(given)


def _view(given: object) -> str:
    kind, _, count = str(given).partition(":")
    if given == "all" or (kind in ("recent", "relevant") and count.isdecimal() and int(count) >= 1):
        return str(given)
    raise ConfigError(f'memory_view: expected "all", "recent:K" or "relevant:K", got {given!r}.')


def _component(key: str, given: object) -> Mapping[str, object]:
    if isinstance(given, str):
        return {"name": given}
    if isinstance(given, Mapping) and isinstance(given.get("name"), str):
        return dict(given)
    raise ConfigError(f'{key}: expected a name or a mapping with a "name", got {given!r}.')

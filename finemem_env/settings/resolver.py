"""From keywords to resolved settings: explicit keyword > reward preset > protocol.

Presets set attribution, β and the weights only; protocols set everything else. Which settings there
are, how each is checked and what it means is in `table`. Values follow Fine-Mem (arXiv 2601.08435)
unless a comment says otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finemem_env.errors import ConfigError, KeywordError, nearest
from finemem_env.rewards import REWARDS, RewardSettings, Weights
from finemem_env.settings.protocols import PROTOCOLS
from finemem_env.settings.table import SETTINGS, Dialect, PublicationName, QuestionScope

_OF_REWARD = ("attribution", "beta", "weights", "compression_scale")


@dataclass(frozen=True, slots=True)
class Publication:
    """Whose rules hold for the sub-datasets of the published benchmarks.

    `metric_dialect`: the metrics; `query_prefixes`: the words before a question, seen by search if
    `prefix_in_query`; `chunking`: the way of cutting documents.
    """

    metric_dialect: Dialect = "own"
    query_prefixes: PublicationName = "own"
    prefix_in_query: bool = True
    chunking: PublicationName = "own"


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings of an environment; `None` in a limit means no limit.

    `memory_budget`: int = tokens, float = share of the episode's tokens. `top_k`: items per
    question (of each store), fewer where they exceed `max_read_tokens` together. `answer_tokens`:
    the reader's longest answer; a published length of the question's own comes first unless it was
    given (`answer_tokens_given`). `max_*_tokens`, `answer_tokens` and budgets are in tokens of
    `tokenizer`. `media` None is False until a source says that it has some.
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
    publication: Publication
    question_fraction: float
    tokenizer: str
    include_instructions: bool
    line_numbers: bool
    media: bool | None

    @property
    def chunk_questions_asked(self) -> int:
        """Chunk questions per step: none where they weigh nothing and were not asked for."""
        measured = self.measure_chunk_questions or self.reward.weights.chunk_qa != 0
        return self.chunk_questions if measured else 0

    def as_dict(self) -> dict[str, object]:
        """JSON-able copy, for run configs."""
        return dataclasses.asdict(self)


def resolve(**keywords: object) -> Settings:
    """Turn the keywords of `gym.make` into settings; None takes the protocol's value.

    Args:
        **keywords: names of `SETTINGS`; `protocol` is "managed" if it is not given.

    Raises:
        KeywordError: an unknown name.
        ConfigError: a wrong type, a value out of range, an unknown value (with the nearest).
    """
    for name in keywords:
        if name not in SETTINGS:
            raise KeywordError.of(name, SETTINGS)
    given = {name: value for name, value in keywords.items() if value is not None}
    bundle = PROTOCOLS.find(given.get("protocol", "managed"))
    values: dict[str, Any] = {
        name: setting.check(name, given.get(name, bundle.get(name, setting.default)))
        for name, setting in SETTINGS.items()
    }
    of_reward = {name: values.pop(name) for name in _OF_REWARD}
    values["reward"] = _reward(values["reward"], **of_reward)
    publication = {field.name: values.pop(field.name) for field in dataclasses.fields(Publication)}
    return Settings(
        publication=Publication(**publication),
        measure_chunk_questions="chunk_questions" in given,
        answer_tokens_given="answer_tokens" in given,
        **values,
    )


def _reward(
    name: str,
    attribution: str | None,
    beta: Any,  # noqa: ANN401
    weights: object,
    compression_scale: Any,  # noqa: ANN401
) -> RewardSettings:
    """The preset with what was given in place of its own values."""
    preset = REWARDS[name]
    return dataclasses.replace(
        preset,
        attribution=preset.attribution if attribution is None else attribution,
        beta=preset.beta if beta is None else beta,
        weights=_weights(preset.weights, weights),
        compression_scale=compression_scale,
    )


def _weights(preset: Weights, weights: object) -> Weights:
    known = [field.name for field in dataclasses.fields(Weights)]
    if weights is None:
        return preset
    if not isinstance(weights, Mapping):
        raise ConfigError(f"weights: expected a mapping with keys from {known}, got {weights!r}.")
    for key in weights:
        if key not in known:
            raise ConfigError(nearest("weight", key, known))
    return dataclasses.replace(preset, **weights)

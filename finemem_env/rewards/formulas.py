"""Every reward of an episode, as pure functions of frozen outcomes; no model is called here.

    r_t    = r_EARA(t) + w_fmt·r_fmt(t) + w1·r_chunk(t) + w·r_comp + γ·content(t)        attributed
    stream = w_fmt·r_fmt(t) + w1·r_chunk(t) + γ·content(t), the last step adds r_global + T·w·r_comp

with w = w2 (`compression_scale="step"`, Fine-Mem) or 10·w2/T (`"episode"`). A broadcast preset
(Mem-α) has r_global whole in place of r_EARA(t), so its last step adds T·(r_global + w2·r_comp).
Both forms sum to the same return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finemem_env.rewards.attribution import (
    eara,
    global_reward,
)
from finemem_env.rewards.presets import RewardSettings
from finemem_env.rewards.rules import FinalOutcome

# Under "episode" the compression term of a whole episode weighs what it weighs in the paper at this
# many steps, whatever the length: at 10 chunks both scales agree.
_REFERENCE_STEPS = 10

REWARD_VERSION = "1"


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step did: counts of emitted operations, scores of its chunk questions.

    `emitted` includes everything rejected; `memory_full` counts the operations whose only fault was
    the budget. `chunk_scores`: one score in [0, 1] per chunk question, None for a failed call.
    `content_scores`: the content judge's scores in [0, 1], None for a failed call, empty without a
    judge.
    """

    emitted: int
    accepted: int
    memory_full: int
    chunk_scores: tuple[float | None, ...] = ()
    content_scores: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        """Refuse counts that cannot be and scores outside [0, 1]."""
        if min(self.accepted, self.memory_full) < 0 or self.emitted < (
            self.accepted + self.memory_full
        ):
            raise ValueError(
                "StepOutcome: expected 0 ≤ accepted + memory_full ≤ emitted, got "
                f"{self.accepted} + {self.memory_full} of {self.emitted}."
            )
        scores = (*self.chunk_scores, *self.content_scores)
        if not all(0.0 <= score <= 1.0 for score in scores if score is not None):
            raise ValueError(f"StepOutcome: expected scores in [0, 1], got {self}.")


@dataclass(frozen=True, slots=True)
class EpisodeOutcome:
    """A finished episode: T ≥ 1 steps, all final questions, tokens of M_T and of all chunks."""

    steps: tuple[StepOutcome, ...]
    finals: tuple[FinalOutcome, ...]
    memory_tokens: int
    input_tokens: int

    def __post_init__(self) -> None:
        """Refuse an episode without steps and negative token counts."""
        if not self.steps:
            raise ValueError("EpisodeOutcome: expected at least one step, got none.")
        if min(self.memory_tokens, self.input_tokens) < 0:
            raise ValueError(
                "EpisodeOutcome: expected token counts ≥ 0, got "
                f"{self.memory_tokens} and {self.input_tokens}."
            )


def format_reward(step: StepOutcome) -> float:
    """r_fmt in [0, 1]: accepted / (emitted − memory_full).

    1.0 when operations were emitted and all hit the budget, 0.0 when none was emitted.
    """
    if step.emitted == 0:
        return 0.0
    counted = step.emitted - step.memory_full
    return step.accepted / counted if counted else 1.0


def chunk_reward(step: StepOutcome) -> float:
    """r_chunk in [0, 1]: mean score of the answered chunk questions (CSR), 0.0 if none."""
    return _mean([score for score in step.chunk_scores if score is not None])


def content_reward(step: StepOutcome) -> float:
    """Mean score of the content judge in [0, 1] (Mem-α), 0.0 without a judge."""
    return _mean([score for score in step.content_scores if score is not None])


def compression_reward(memory_tokens: int, input_tokens: int) -> float:
    """r_comp = 1 − tokens(M_T) / Σ_t tokens(c_t): at most 1, negative if M_T outgrows the input.

    An input without tokens counts as one token.
    """
    return 1.0 - memory_tokens / max(1, input_tokens)


def compression_weight(settings: RewardSettings, num_steps: int) -> float:
    """w: the weight of r_comp in each attributed r_t of an episode of `num_steps` steps."""
    weight = settings.weights.compression
    if settings.broadcast or settings.compression_scale == "step":
        return weight
    return weight * _REFERENCE_STEPS / num_steps


def compression_total(settings: RewardSettings, num_steps: int) -> float:
    """T·w: the weight of r_comp in the return.

    Under "step" it grows with the length. Above .5 an empty memory starts to pay more than
    answering; not so in a broadcast preset, where the accuracy is multiplied by T as well.
    """
    return num_steps * compression_weight(settings, num_steps)


def stream_reward(step: StepOutcome, settings: RewardSettings) -> float:
    """What the environment pays for a step right away: its format, chunk and content terms."""
    weights = settings.weights
    valid = 1.0 if settings.earned else 0.0  # what pays nothing and costs nothing
    return (
        weights.format * (format_reward(step) - valid)
        + weights.chunk_qa * chunk_reward(step)
        + weights.content * content_reward(step)
    )


def closing_reward(outcome: EpisodeOutcome, settings: RewardSettings) -> float:
    """What the last step pays on top of its stream reward: r_global + T·w·r_comp.

    Broadcast: T·(r_global + w2·r_comp). Earned: r_global + T·w·r_comp·r_global.
    """
    num_steps = len(outcome.steps)
    accuracy = global_reward(outcome.finals)
    compression = compression_total(settings, num_steps) * _brevity(outcome, settings)
    return (num_steps * accuracy if settings.broadcast else accuracy) + compression


def step_rewards(outcome: EpisodeOutcome, settings: RewardSettings) -> tuple[float, ...]:
    """The T attributed rewards r_t; their sum is the streamed return.

    Raises:
        ValueError: as `attribution.shares`.
    """
    num_steps = len(outcome.steps)
    if settings.broadcast:
        earned: Sequence[float] = (global_reward(outcome.finals),) * num_steps
    else:
        earned = eara(outcome.finals, settings, num_steps)
    compression = compression_weight(settings, num_steps) * _brevity(outcome, settings)
    return tuple(
        share + stream_reward(step, settings) + compression
        for share, step in zip(earned, outcome.steps, strict=True)
    )


def episode_valid(finals: Sequence[FinalOutcome]) -> bool:
    """Whether at most 10 % of the final questions failed; without final questions, True."""
    return 10 * sum(final.failed for final in finals) <= len(finals)


def step_valid(outcome: EpisodeOutcome, settings: RewardSettings) -> tuple[bool, ...]:
    """Which of the T rows may be learned from.

    A row is invalid when the whole episode is, or when chunk questions were asked, weigh anything,
    and all failed; likewise the content judge's calls. A step without chunk questions is valid.
    """
    valid = episode_valid(outcome.finals)
    asks, judges = settings.weights.chunk_qa != 0.0, settings.weights.content != 0.0
    return tuple(
        valid
        and not (asks and _all_failed(step.chunk_scores))
        and not (judges and _all_failed(step.content_scores))
        for step in outcome.steps
    )


def terms(step: StepOutcome, outcome: EpisodeOutcome | None = None) -> dict[str, float]:
    """The unweighted terms of a step, for `info`; `compression` and `global` are 0.0 until the end.

    Args:
        step: the step just taken.
        outcome: the finished episode, given with its last step only.
    """
    return {
        "format": format_reward(step),
        "chunk_qa": chunk_reward(step),
        "compression": 0.0 if outcome is None else _compression(outcome),
        "global": 0.0 if outcome is None else global_reward(outcome.finals),
        "content": content_reward(step),
    }


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0


def _compression(outcome: EpisodeOutcome) -> float:
    return compression_reward(outcome.memory_tokens, outcome.input_tokens)


def _brevity(outcome: EpisodeOutcome, settings: RewardSettings) -> float:
    """The compression term before its weight: r_comp, or what answers have earned of it."""
    share = global_reward(outcome.finals) if settings.earned else 1.0
    return _compression(outcome) * share


def _all_failed(scores: Sequence[float | None]) -> bool:
    return bool(scores) and all(score is None for score in scores)

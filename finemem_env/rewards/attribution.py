"""Which step gets how much of each final answer: Evidence-Anchored Reward Attribution (Fine-Mem).

With s_j the score of final question j, R_j the items shown to the reader for it, n the number of
answered final questions and T_j the number of steps taken when it was asked (T unless it has
`asked_after`):

    r_EARA(t) = (1/n) Σ_j s_j · [(1−β)·1(t < T_j)/T_j + β·share_j(t)]        t = 0 … T−1

Every share_j sums to 1, so Σ_t r_EARA(t) = r_global in every attribution mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from finemem_env.rewards.presets import Attribution, RewardSettings

__all__ = [
    "FinalOutcome",
    "ShownItem",
    "answered",
    "eara",
    "evidence_credit",
    "global_reward",
    "needs_leave_one_out",
    "shares",
]

Portion = tuple[float, tuple[int, ...]]  # part of one question's credit, the steps that split it


@dataclass(frozen=True, slots=True)
class ShownItem:
    """Provenance of one item of R_j, all 0-based step indices.

    `step`: last write whose text is still there. `writers`: every step that brought text to it.
    `sentence_steps`: the step of each present sentence, in reading order, repeats included.
    """

    step: int
    writers: tuple[int, ...]
    sentence_steps: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a negative step, which would silently pay the end of the episode."""
        if min((self.step, *self.writers, *self.sentence_steps)) < 0:
            raise ValueError(f"ShownItem: expected steps ≥ 0, got {self}.")


@dataclass(frozen=True, slots=True)
class FinalOutcome:
    """One final question after it was answered and scored.

    `score` is s_j in [0, 1]. `used`: the reader's citations, (index in `shown`, sentence index in
    that item or None). `without[i]`: the score with `shown[i]` removed, None where that extra call
    failed; empty when the calls were not made. `failed`: the reader call failed, so there is no
    score and the question counts neither as right nor as wrong. `asked_after` = i: answered from
    the memory right after step i.
    """

    score: float
    shown: tuple[ShownItem, ...]
    used: tuple[tuple[int, int | None], ...] = ()
    without: tuple[float | None, ...] = ()
    failed: bool = False
    asked_after: int | None = None

    def __post_init__(self) -> None:
        """Refuse scores that are no share of a right answer and extra calls that fit no item."""
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(
                f"FinalOutcome.score: expected a number in [0, 1], got {self.score!r}."
            )
        if self.without and len(self.without) != len(self.shown):
            raise ValueError(
                f"FinalOutcome.without: expected one score for each of {len(self.shown)} shown "
                f"items or none at all, got {len(self.without)}."
            )


def answered(finals: Sequence[FinalOutcome]) -> tuple[FinalOutcome, ...]:
    """The final questions whose reader call succeeded: the n of every formula."""
    return tuple(final for final in finals if not final.failed)


def global_reward(finals: Sequence[FinalOutcome]) -> float:
    """r_global = (1/n) Σ_j s_j over the answered questions; 0.0 when none was answered."""
    scores = [final.score for final in finals if not final.failed]
    return sum(scores) / len(scores) if scores else 0.0


def shares(final: FinalOutcome, attribution: Attribution, num_steps: int) -> tuple[float, ...]:
    """How one question's credit falls on the steps: `num_steps` numbers ≥ 0 that sum to 1.

    Nothing shown: spread evenly over the steps taken when the question was asked.

    Raises:
        ValueError: `asked_after` or an item's step does not lie inside the episode.
    """
    horizon = _horizon(final, num_steps)
    if not final.shown:
        return (1.0 / horizon,) * horizon + (0.0,) * (num_steps - horizon)
    placed = _placement(final, attribution, horizon)
    return tuple(placed.get(step, 0.0) for step in range(num_steps))


def needs_leave_one_out(final: FinalOutcome, attribution: Attribution) -> bool:
    """Whether scores without each shown item (`without`) can change this question's shares.

    False where they cannot: no credit to place, a usable citation, or all shown items anchored at
    the same steps (a single item, for one).
    """
    if final.failed or final.score == 0.0 or attribution in ("last_write", "all_writes"):
        return False
    if attribution == "cited" and _cited(final):
        return False
    return len({_sentence_anchors(item) for item in final.shown}) > 1


def evidence_credit(
    finals: Sequence[FinalOutcome], attribution: Attribution, num_steps: int
) -> tuple[float, ...]:
    """N_t, the normalised evidence contribution of each step (`num_steps` numbers ≥ 0).

    Σ_t N_t is r_global less the questions answered with nothing shown: they have no evidence.

    Raises:
        ValueError: as `shares`.
    """
    counted = answered(finals)
    credit = [0.0] * num_steps
    for final in counted:
        horizon = _horizon(final, num_steps)
        if final.score and final.shown:
            for step, share in _placement(final, attribution, horizon).items():
                credit[step] += share * final.score / len(counted)
    return tuple(credit)


def eara(
    finals: Sequence[FinalOutcome], settings: RewardSettings, num_steps: int
) -> tuple[float, ...]:
    """r_EARA(t) for each of `num_steps` steps; the sum is `global_reward(finals)`.

    Raises:
        ValueError: as `shares`.
    """
    counted = answered(finals)
    beta = settings.beta
    spread = [0.0] * num_steps  # at index h−1: what each of the first h steps receives
    for final in counted:
        horizon = _horizon(final, num_steps)
        even = 1.0 - beta if final.shown else 1.0
        spread[horizon - 1] += even * final.score / (horizon * len(counted))
    evenly = list(accumulate(reversed(spread)))[::-1]
    if beta == 0.0:
        return tuple(evenly)
    credit = evidence_credit(counted, settings.attribution, num_steps)
    return tuple(base + beta * earned for base, earned in zip(evenly, credit, strict=True))


def _horizon(final: FinalOutcome, num_steps: int) -> int:
    """T_j: how many steps had been taken when the question was asked."""
    if final.asked_after is None:
        return num_steps
    if not 0 <= final.asked_after < num_steps:
        raise ValueError(
            f"asked_after: expected a step in [0, {num_steps}), got {final.asked_after}."
        )
    return final.asked_after + 1


def _placement(final: FinalOutcome, attribution: Attribution, horizon: int) -> dict[int, float]:
    """Share of each step that receives any; `final.shown` is not empty."""
    placed: dict[int, float] = {}
    for share, steps in _portions(final, attribution):
        for step in steps:
            placed[step] = placed.get(step, 0.0) + share / len(steps)
    if max(placed) >= horizon:
        raise ValueError(
            f"a shown item was written at step {max(placed)}, but only {horizon} steps had been "
            "taken when the question was asked."
        )
    return placed


def _portions(final: FinalOutcome, attribution: Attribution) -> Iterator[Portion]:
    """The parts a question's credit falls into, by attribution mode."""
    equal = 1.0 / len(final.shown)
    if attribution == "last_write":
        return ((equal, (item.step,)) for item in final.shown)
    if attribution == "all_writes":
        return ((equal, tuple(sorted(set(item.writers))) or (item.step,)) for item in final.shown)
    if attribution == "cited" and (cited := _cited(final)):
        return ((1.0 / len(cited), steps) for steps in cited)
    return zip(_drop_shares(final), map(_sentence_anchors, final.shown), strict=True)


def _sentence_anchors(item: ShownItem) -> tuple[int, ...]:
    """The distinct steps of an item's present sentences."""
    return tuple(sorted(set(item.sentence_steps))) or (item.step,)


def _cited(final: FinalOutcome) -> list[tuple[int, ...]]:
    """The steps each usable citation points at; entries outside R_j or the item are ignored."""
    found: list[tuple[int, ...]] = []
    for index, sentence in final.used:
        if not 0 <= index < len(final.shown):
            continue
        item = final.shown[index]
        if sentence is None:
            found.append(_sentence_anchors(item))
        elif 0 <= sentence < len(item.sentence_steps):
            found.append((item.sentence_steps[sentence],))
    return found


def _drop_shares(final: FinalOutcome) -> list[float]:
    """Share of each shown item, by how much the score drops without it; even when unknown."""
    drops = [max(0.0, final.score - score) for score in final.without if score is not None]
    total = sum(drops)
    if len(drops) < len(final.shown) or total <= 0.0:
        return [1.0 / len(final.shown)] * len(final.shown)
    return [drop / total for drop in drops]

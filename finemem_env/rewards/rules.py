"""The rules by which one final answer's credit falls on what the reader was shown.

A rule is a pure function from a `FinalOutcome` with at least one shown item to portions: a part of
the credit, and the steps that split it evenly. `finemem_env.register("attribution", name, rule)`
adds one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from finemem_env.registry import Registry

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
        if not all(0.0 <= score <= 1.0 for score in self.without if score is not None):
            raise ValueError(
                f"FinalOutcome.without: expected numbers in [0, 1] or None, got {self.without!r}."
            )
        if self.without and len(self.without) != len(self.shown):
            raise ValueError(
                f"FinalOutcome.without: expected one score for each of {len(self.shown)} shown "
                f"items or none at all, got {len(self.without)}."
            )


@dataclass(frozen=True, slots=True)
class Attribution:
    """One way to divide the credit of an answer.

    `portions` sum to 1 for every outcome with a shown item. `reads_without` says whether scores
    without each shown item could change them: such reads cost calls, so they are made only then.
    """

    description: str
    portions: Callable[[FinalOutcome], Iterable[Portion]]
    reads_without: Callable[[FinalOutcome], bool] = lambda final: False


def last_write(final: FinalOutcome) -> Iterator[Portion]:
    """Equal shares, each to the item's last changing write (the paper)."""
    return ((1.0 / len(final.shown), (item.step,)) for item in final.shown)


def all_writes(final: FinalOutcome) -> Iterator[Portion]:
    """Equal shares, each split over the steps that wrote the item."""
    equal = 1.0 / len(final.shown)
    return ((equal, tuple(sorted(set(item.writers))) or (item.step,)) for item in final.shown)


def leave_one_out(final: FinalOutcome) -> Iterator[Portion]:
    """Shares by how much the score drops without the item, split over its present sentences."""
    return zip(_drop_shares(final), map(_sentence_anchors, final.shown), strict=True)


def cited(final: FinalOutcome) -> Iterable[Portion]:
    """Even shares to what the reader says it used; where it says nothing, `leave_one_out`."""
    used = _cited(final)
    return [(1.0 / len(used), steps) for steps in used] if used else leave_one_out(final)


def _could_differ(final: FinalOutcome) -> bool:
    """Not where all shown items are anchored at the same steps (a single item, for one)."""
    return len({_sentence_anchors(item) for item in final.shown}) > 1


def _sentence_anchors(item: ShownItem) -> tuple[int, ...]:
    """The distinct steps of an item's present sentences."""
    return tuple(sorted(set(item.sentence_steps))) or (item.step,)


def _cited(final: FinalOutcome) -> list[tuple[int, ...]]:
    """The steps each usable citation points at; entries outside R_j or the item are ignored."""
    anchors: list[tuple[int, ...]] = []
    for index, sentence in final.used:
        if not 0 <= index < len(final.shown):
            continue
        item = final.shown[index]
        if sentence is None:
            anchors.append(_sentence_anchors(item))
        elif 0 <= sentence < len(item.sentence_steps):
            anchors.append((item.sentence_steps[sentence],))
    return anchors


def _drop_shares(final: FinalOutcome) -> list[float]:
    """Share of each shown item, by how much the score drops without it; even when unknown."""
    drops = [max(0.0, final.score - score) for score in final.without if score is not None]
    total = sum(drops)
    if len(drops) < len(final.shown) or total <= 0.0:
        return [1.0 / len(final.shown)] * len(final.shown)
    return [drop / total for drop in drops]


ATTRIBUTIONS: Registry[Attribution] = Registry(
    "attribution",
    {
        "last_write": Attribution("equal shares to each item's last write: the paper", last_write),
        "all_writes": Attribution("equal shares, split over all writers of an item", all_writes),
        "leave_one_out": Attribution(
            "by the drop in score without each item: extra reader calls",
            leave_one_out,
            _could_differ,
        ),
        "cited": Attribution(
            "to the sentences that the reader says it used",
            cited,
            lambda final: not _cited(final) and _could_differ(final),
        ),
    },
)

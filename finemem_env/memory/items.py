"""Records of the memory: items with the provenance of their sentences, and their JSON form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from finemem_env.errors import DataError
from finemem_env.media import encoded, raw_media
from finemem_env.types import Medium, OperationResult


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an item and the step that first brought it."""

    text: str
    step: int


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the memory. Sentences are those of `text.split_sentences(content)`, in order.

    `step`: the last step that brought text which is still there. `writers`: the distinct steps that
    brought text to it, present or since replaced, in order. `tokens`: of its content and of the
    media that it keeps, whose names are `media`; their text form is part of the content. `store`:
    of a hierarchical memory, "core", "semantic" or "episodic".
    """

    id: int
    content: str
    step: int
    writers: tuple[int, ...]
    sentences: tuple[Sentence, ...]
    tokens: int
    store: str = ""
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What one step changed on balance, and what became of each operation, in order.

    An updated item is in `removed` as it was before the step and in `added` as it is now.
    """

    removed: tuple[Item, ...]
    added: tuple[Item, ...]
    results: tuple[OperationResult, ...]


def within(items: Sequence[Item], most: int) -> list[Item]:
    """`items`, with the last of every store left out until `most` tokens hold the rest."""
    places: dict[str, int] = {}
    ranks = []
    for item in items:
        ranks.append(places.get(item.store, 0))
        places[item.store] = ranks[-1] + 1
    count = max(places.values(), default=0)
    kept = list(items)
    while sum(item.tokens for item in kept) > most and count:
        count -= 1
        kept = [item for item, rank in zip(items, ranks, strict=True) if rank < count]
    return kept


def largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that fits, 0 if none does; what is smaller fits too."""
    low, high = 0, max(0, most)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


class ItemSnapshot(TypedDict):
    """One item as JSON: sentences are [text, step]."""

    id: int
    content: str
    writers: list[int]
    sentences: list[tuple[str, int]]
    tokens: int
    store: NotRequired[str]
    media: NotRequired[list[str]]


class MemorySnapshot(TypedDict):
    """A whole memory as JSON: enough to go on exactly as the original would.

    `media`: those that items keep, with their names and data.
    """

    next_id: int
    budget: int | None
    items: list[ItemSnapshot]
    media: NotRequired[list[dict[str, Any]]]


def dump(
    items: Iterable[Item], next_id: int, budget: int | None, media: Iterable[Medium] = ()
) -> MemorySnapshot:
    """The JSON form of a memory."""
    snapshot: MemorySnapshot = {
        "next_id": next_id,
        "budget": budget,
        "items": [_dump(item) for item in items],
    }
    held = [encoded(medium) for medium in media]
    if held:
        snapshot["media"] = held
    return snapshot


def load(snapshot: MemorySnapshot) -> tuple[list[Item], tuple[Medium, ...]]:
    """The items of a snapshot and the media, exactly as they were.

    Raises:
        DataError: it is not a snapshot of a memory.
    """
    try:
        items = [_load(entry) for entry in snapshot["items"]]
        numbers = [snapshot["next_id"], *(item.id for item in items)]
        valid = max(numbers) == numbers[0] and len(set(numbers)) == len(numbers)
        media = raw_media(snapshot)
        valid = valid and {name for one in items for name in one.media} <= {m.name for m in media}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"memory snapshot: expected {_EXPECTED}, got {error!r}.") from error
    if not valid or "budget" not in snapshot:
        raise DataError(f"memory snapshot: expected {_EXPECTED} with a budget and distinct ids.")
    return items, media


_EXPECTED = "what Memory.snapshot gives"


def _dump(item: Item) -> ItemSnapshot:
    snapshot: ItemSnapshot = {
        "id": item.id,
        "content": item.content,
        "writers": list(item.writers),
        "sentences": [(sentence.text, sentence.step) for sentence in item.sentences],
        "tokens": item.tokens,
    }
    if item.store:
        snapshot["store"] = item.store
    if item.media:
        snapshot["media"] = list(item.media)
    return snapshot


def _load(entry: ItemSnapshot) -> Item:
    sentences = tuple(Sentence(text, step) for text, step in entry["sentences"])
    return Item(
        id=entry["id"],
        content=entry["content"],
        step=max(sentence.step for sentence in sentences),
        writers=tuple(entry["writers"]),
        sentences=sentences,
        tokens=entry["tokens"],
        store=entry.get("store", ""),
        media=tuple(entry.get("media", ())),
    )

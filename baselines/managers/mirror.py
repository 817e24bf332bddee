"""The environment's memory as a mirror of texts that have keys elsewhere.

What a key's text becomes is an UPDATE of its item, so that unchanged sentences keep their
provenance; a key that is gone is a DELETE, a new one an INSERT. The environment decides what it
takes; what it refused is asked for again when there may be room.
"""

from __future__ import annotations

from collections.abc import Mapping

from finemem_env.memory import says_the_same
from finemem_env.text import normalise
from finemem_env.types import Op, Operation


class Mirror:
    """Plans the operations that bring the memory to a set of keyed texts, and knows their items.

    Two keys with the same text share an item.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, str] = {}
        self._ids: dict[str, int] = {}
        self._tried: dict[str, str] = {}
        self._budget: int | None = None

    def operations(
        self,
        wanted: Mapping[str, str],
        held: Mapping[int, str],
        *,
        budget: int | None = None,
        most: int | None = None,
    ) -> list[Operation]:
        """What to do so that the memory holds `wanted`.

        Args:
            wanted: text by key, none of them blank.
            held: content by item id, what the memory holds now.
            budget: tokens of the whole memory; what was refused is tried again when it changes.
            most: operations of one step; the rest is left for the next one.
        """
        self._ids = self.visible(held) | {k: item for k, item in self._ids.items() if item in held}
        self._wanted = dict(wanted)
        owners, updates = self._owners(held)
        gone = [Operation(Op.DELETE, item_id=item_id) for item_id in held if item_id not in owners]
        changed = any(self._tried.get(owners[item]) != wanted[owners[item]] for item in updates)
        freed = bool(gone) or changed or budget != self._budget
        self._budget = budget
        forms = {normalise(held[item_id]) for item_id in owners if item_id not in updates}
        writes: list[tuple[str, Operation]] = []
        # Those that shrink come first: they make room.
        for item_id in sorted(updates, key=lambda own: len(wanted[owners[own]]) - len(held[own])):
            text = wanted[owners[item_id]]
            forms.add(normalise(text))
            writes.append((owners[item_id], Operation(Op.UPDATE, content=text, item_id=item_id)))
        owning = set(owners.values())
        for key, text in wanted.items():
            form = normalise(text)
            if key not in owning and form not in forms:
                forms.add(form)
                writes.append((key, Operation(Op.INSERT, content=text)))
        open_ = [(key, new) for key, new in writes if freed or self._tried.get(key) != wanted[key]]
        open_ = open_[: None if most is None else max(0, most - len(gone))]
        self._tried = {key: text for key, text in self._tried.items() if wanted.get(key) == text}
        self._tried |= {key: wanted[key] for key, _ in open_}
        return [*gone[:most], *(write for _, write in open_)]

    def visible(self, held: Mapping[int, str]) -> dict[str, int]:
        """The item of every key whose text the memory holds."""
        forms = {normalise(text): item_id for item_id, text in held.items()}
        items = {}
        for key, text in self._wanted.items():
            own = self._ids.get(key)
            if own is not None and own in held and says_the_same(held[own], text):
                items[key] = own
            elif (same := forms.get(normalise(text))) is not None:
                items[key] = same
        return items

    def refused(self, held: Mapping[int, str]) -> list[str]:
        """Keys whose text the memory was asked to hold and does not."""
        visible = self.visible(held)
        return [key for key in self._tried if key in self._wanted and key not in visible]

    def _owners(self, held: Mapping[int, str]) -> tuple[dict[int, str], set[int]]:
        """The key of every item that stays, and the items whose text is another one now."""
        forms = {normalise(text): item_id for item_id, text in held.items()}
        owners: dict[int, str] = {}
        for key, text in self._wanted.items():
            item_id = self._ids.get(key)
            if item_id is None or not says_the_same(held[item_id], text):
                item_id = forms.get(normalise(text))
            if item_id is not None:
                owners.setdefault(item_id, key)
        kept, owning = set(owners), set(owners.values())
        for key, text in self._wanted.items():
            item_id = self._ids.get(key)
            if key not in owning and item_id is not None and forms.get(normalise(text)) is None:
                owners.setdefault(item_id, key)
        return owners, set(owners) - kept

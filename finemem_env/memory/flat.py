"""The external memory: numbered items, edited by operations, with the provenance of their text.

Owns ids, limits, the budget and what became of each operation. Applying operations costs their own
text only, however large the memory is.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, NamedTuple, Self

from finemem_env.media import stored_form
from finemem_env.memory.items import Change, Item, MemorySnapshot, Sentence, dump, load
from finemem_env.memory.provenance import Provenance
from finemem_env.operations import MAX_ACTION_CHARS, Parsed, is_blank
from finemem_env.text import TextCache, normalise, sentence_key, split_sentences
from finemem_env.text.lookalikes import as_seen
from finemem_env.text.sentence_ends import STOPS
from finemem_env.types import Medium, Op, Operation, OperationResult, RejectReason

# Marks that only part words or sentences. Every other sign can carry the meaning: -5, C++, A-, 2:1.
_STOPS = re.escape("".join(sorted(STOPS | set(",;:、،؛՝፣፤၊"))))
_PAUSES = re.compile(rf"[\"'“”‘’„‚«»‹›「」『』《》〈〉¿¡]|[{_STOPS}](?!\d)|(?<!\d)[{_STOPS}]")


class _Identity(NamedTuple):
    """What identifies a text: its normal form, and its sentences' keys."""

    normal: str
    keys: tuple[str, ...]


class Memory:
    """A flat store of numbered items (Fine-Mem §3): ids grow from 1 and are never used again.

    Args:
        count_tokens: tokens of a text, the unit of every limit here.
        budget: most tokens that all items may hold together; None for no limit. Settable: an
            operation may not grow the memory beyond it, and may always shrink the memory.
        max_item_tokens: most tokens of one item.
        max_operations: operations past so many in one step are rejected.
    """

    _stores: ClassVar[tuple[str | None, ...]] = (None, "flat", "memory")

    def __init__(
        self,
        *,
        count_tokens: Callable[[str], int],
        budget: int | None = None,
        max_item_tokens: int | None = None,
        max_operations: int | None = None,
    ) -> None:
        self.budget = budget
        self._count_tokens = count_tokens
        self._max_item_tokens = max_item_tokens
        self._max_operations = max_operations
        self._media: dict[str, Medium] = {}
        self._told = MAX_ACTION_CHARS  # characters that a step may still bring by naming media
        self._clear()

    @property
    def tokens(self) -> int:
        """Tokens of all contents together; ids are not counted."""
        return self._tokens

    @property
    def core(self) -> Item | None:
        """The item that every question is shown: none in a flat memory."""
        return None

    def __len__(self) -> int:
        """Number of items."""
        return len(self._items)

    def items(self) -> tuple[Item, ...]:
        """All items by id."""
        return tuple(self._items.values())

    def get(self, item_id: int) -> Item | None:
        """The item with this id, None when there is none (any more)."""
        return self._items.get(item_id)

    def found(self, ids: Iterable[int]) -> tuple[Item, ...]:
        """The items with these ids, without those that are not there."""
        items = self._items
        return tuple([items[item_id] for item_id in ids if item_id in items])

    def medium(self, name: str) -> Medium | None:
        """The picture or sound of this name, if an item keeps it or it can be kept now."""
        return self._media.get(name)

    def kept(self, item: Item) -> tuple[Medium, ...]:
        """The media that an item of this memory keeps."""
        return tuple([self._media[name] for name in item.media])

    def offer(self, media: Sequence[Medium]) -> None:
        """Say which media operations can name from now on, beside those that items keep."""
        if not media and not self._media:
            return
        kept = {name: self._media[name] for name in self._keepers}
        self._media = kept | {medium.name: medium for medium in media}

    def apply(self, step: int, parsed: Sequence[Parsed]) -> Change:
        """Apply what the agent emitted at `step`, in order; one result per entry.

        Rejections found while parsing pass through. Call it once per step: a step may write again
        what it removed without taking over its credit.
        """
        before: dict[int, Item | None] = {}
        limit = len(parsed) if self._max_operations is None else self._max_operations
        results: list[OperationResult] = []
        self._told = MAX_ACTION_CHARS
        self._announce(parsed[:limit])
        for number, entry in enumerate(parsed):
            if isinstance(entry, OperationResult):
                results.append(entry)
            elif number >= limit:
                results.append(refused(entry, RejectReason.TOO_MANY_OPERATIONS))
            else:
                result = self._execute(entry, step, before)
                named = entry.lines or entry.media
                results.append(
                    dataclasses.replace(result, lines=entry.lines, media=entry.media)
                    if named
                    else result
                )
        self._provenance.settle()
        return self._change(before, results)

    def snapshot(self) -> MemorySnapshot:
        """The whole state, JSON-able."""
        kept = [self._media[name] for name in self._keepers]
        return dump(self._items.values(), self._next_id, self.budget, kept)

    def restore(self, snapshot: MemorySnapshot) -> None:
        """Become the memory that `snapshot` was taken of, also after a round trip through JSON.

        Raises:
            DataError: it is not a snapshot of a memory; this one is left as it was.
        """
        items, media = load(snapshot)
        self._clear()
        self._next_id, self.budget = snapshot["next_id"], snapshot["budget"]
        self._media = {medium.name: medium for medium in media}
        for item in items:
            keys = tuple([sentence_key(sentence.text) for sentence in item.sentences])
            self._put(item, _form(item.content, item.media)._replace(keys=keys))

    def fork(self) -> Self:
        """A copy that goes on exactly as this one would, and apart from it."""
        other = copy.copy(self)
        other._items, other._forms = dict(self._items), dict(self._forms)
        other._ids = dict(self._ids)
        other._media, other._keepers = dict(self._media), Counter(self._keepers)
        other._provenance = self._provenance.fork()
        return other

    def _clear(self) -> None:
        self._items: dict[int, Item] = {}
        self._forms: dict[int, _Identity] = {}
        self._ids: dict[str, int] = {}  # by store and normal form
        self._media = {}
        self._keepers: Counter[str] = Counter()  # how many items keep a medium
        self._provenance = Provenance()
        self._tokens = 0
        self._next_id = 1

    def _announce(self, parsed: Sequence[Parsed]) -> None:
        """Tell the provenance which items the step is about to edit, in whatever order."""
        named = [entry.item_id for entry in parsed if isinstance(entry, Operation)]
        for item_id in dict.fromkeys(named):
            item = None if item_id is None else self._items.get(item_id)
            if item is not None:
                steps = tuple([sentence.step for sentence in item.sentences])
                self._provenance.edits(self._forms[item.id].keys, steps)

    def _execute(
        self, operation: Operation, step: int, before: dict[int, Item | None]
    ) -> OperationResult:
        if operation.op is Op.SKIP:
            return OperationResult(operation.op.value)
        if operation.store not in self._stores:
            return refused(operation, RejectReason.UNKNOWN_STORE)
        if operation.op is Op.INSERT:
            return self._write(operation, step, None, before, self._new_store(operation))
        old = None if operation.item_id is None else self._items.get(operation.item_id)
        if old is None or (old.store and operation.store not in (None, old.store)):
            return refused(operation, RejectReason.UNKNOWN_ID)
        if operation.op is Op.UPDATE:
            return self._write(operation, step, old, before, old.store)
        return self._delete(old, before)

    def _delete(self, old: Item, before: dict[int, Item | None]) -> OperationResult:
        before.setdefault(old.id, old)
        self._take(old)
        del self._items[old.id]
        return OperationResult(Op.DELETE.value, item_id=old.id)

    def _write(
        self,
        operation: Operation,
        step: int,
        old: Item | None,
        before: dict[int, Item | None],
        store: str,
    ) -> OperationResult:
        """INSERT into `store`, or UPDATE of `old`, which is there."""
        content = self._composed(operation, store)
        if isinstance(content, RejectReason):
            return refused(operation, content, old)
        tokens = self._count_tokens(content)
        for name in operation.media:
            tokens += self._media[name].tokens
        limit = self._item_limit(store)
        if limit is not None and tokens > limit:
            return refused(operation, RejectReason.CONTENT_TOO_LONG, old)
        form = _form(content, operation.media)
        reason = self._refusal(form, tokens, old, store)
        if reason is not None:
            return refused(operation, reason, old)
        if old is None:
            item_id = self._new_id(store)
        else:
            item_id = old.id
            self._take(old)
        start = before.setdefault(item_id, old)
        steps = self._provenance.anchor(form.keys, step)
        # Of the item at the start of the step: an edit that the step takes back wrote nothing.
        writers = steps if start is None else (*start.writers, *steps)
        item = Item(
            id=item_id,
            content=content,
            step=max(steps),
            writers=tuple(sorted({*writers})) if len(writers) > 1 else writers,
            sentences=tuple(map(Sentence, split_sentences(content), steps)),
            tokens=tokens,
            store=store,
            media=operation.media,
        )
        self._put(item, form)
        return OperationResult(operation.op.value, item_id=item_id)

    def _composed(self, operation: Operation, store: str) -> str | RejectReason:
        """What an item is to hold: the words, and the text form of the media that it keeps."""
        content = operation.content or ""
        if not operation.media:
            return RejectReason.EMPTY_CONTENT if is_blank(content) else content
        if not self._keeps_media(store) or any(name not in self._media for name in operation.media):
            return RejectReason.UNKNOWN_MEDIUM
        forms = [stored_form(self._media[name]) for name in operation.media]
        self._told -= sum(map(len, forms))
        if self._told < 0:
            return RejectReason.ACTION_TOO_LONG
        return "\n".join([content, *forms] if content else forms)

    def _new_store(self, operation: Operation) -> str:
        """The store of what an INSERT makes."""
        return ""

    def _keeps_media(self, store: str) -> bool:
        """Whether an item of `store` can keep media."""
        return True

    def _item_limit(self, store: str) -> int | None:
        """Most tokens of an item of `store`."""
        return self._max_item_tokens

    def _new_id(self, store: str) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _refusal(
        self, form: _Identity, tokens: int, old: Item | None, store: str
    ) -> RejectReason | None:
        """Why this text cannot be inserted into `store`, or replace `old`."""
        if old is not None and _says_the_same(form, self._forms[old.id]):
            return RejectReason.NO_CHANGE
        if store + form.normal in self._ids:
            return RejectReason.EXACT_DUPLICATE
        total = self._tokens + tokens - (0 if old is None else old.tokens)
        if self.budget is not None and total > max(self.budget, self._tokens):
            return RejectReason.MEMORY_FULL
        return None

    def _put(self, item: Item, form: _Identity) -> None:
        self._items[item.id] = item
        self._forms[item.id] = form
        self._ids[item.store + form.normal] = item.id
        self._provenance.add(form.keys, [sentence.step for sentence in item.sentences])
        self._tokens += item.tokens
        if item.media:
            self._keepers.update(item.media)

    def _take(self, item: Item) -> None:
        """Undo `_put`, except that the item keeps its place in case it is updated."""
        form = self._forms.pop(item.id)
        del self._ids[item.store + form.normal]
        self._provenance.remove(form.keys)
        self._tokens -= item.tokens
        for name in item.media:
            self._keepers[name] -= 1
            if not self._keepers[name]:
                del self._keepers[name]

    def _change(self, before: dict[int, Item | None], results: Sequence[OperationResult]) -> Change:
        removed, added = [], []
        for item_id, old in before.items():
            new = self._items.get(item_id)
            if old is not None:
                if new == old:
                    continue
                removed.append(old)
            if new is not None:
                added.append(new)
        return Change(tuple(removed), tuple(added), tuple(results))


def refused(
    operation: Operation, reason: RejectReason, item: Item | None = None
) -> OperationResult:
    """The rejection of an operation on `item`."""
    return OperationResult(operation.op.value, reason, None if item is None else item.id)


def _form(content: str, media: Sequence[str] = ()) -> _Identity:
    form = _FORMS[content]
    # A medium that is kept is more than its name in a text.
    return form._replace(normal="\0".join([form.normal, *media])) if media else form


def _derive(content: str) -> _Identity:
    keys = tuple(map(sentence_key, split_sentences(content)))
    return _Identity(normalise(as_seen(content)), keys)


_FORMS: TextCache[_Identity] = TextCache(_derive)


def _says_the_same(one: _Identity, other: _Identity) -> bool:
    """Whether two texts differ in nothing but case, white space and pauses."""
    return _words(one) == _words(other) and _unpaused(one) == _unpaused(other)


def says_the_same(text: str, other: str) -> bool:
    """Whether an UPDATE from one to the other would change nothing."""
    return _says_the_same(_FORMS[text], _FORMS[other])


def _words(form: _Identity) -> str:
    # The key of a sentence without words is made of signs.
    return " ".join([key for key in form.keys if key[:1].isalnum()])


def _unpaused(form: _Identity) -> str:
    return " ".join(_PAUSES.sub(" ", form.normal).split())

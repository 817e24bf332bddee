"""The memory of an episode, told again from the agent's text and what became of it.

Only operations that were accepted are applied, without limits, so neither the settings nor a
tokenizer are needed. The ids, and which step brought each sentence, are those of the episode. Where
operations name sentences of the chunk by number, they are those of the whole chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from finemem_env.media import stored_form
from finemem_env.memory import HierarchicalMemory, Item, Memory
from finemem_env.operations import Parsed, parse
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.trace import Trace
from finemem_env.types import Operation, OperationResult

DELETED, OVERWRITTEN = "deleted", "overwritten"


@dataclass(frozen=True, slots=True)
class Life:
    """One item as it stood from the end of step `start` until step `end` (None: to the last).

    `how` it ended: "deleted" or "overwritten", "" while it stands.
    """

    item: Item
    start: int
    end: int | None = None
    how: str = ""

    def stands(self, step: int) -> bool:
        """Whether it is in the memory right after `step`."""
        return self.start <= step and (self.end is None or step < self.end)


@dataclass(frozen=True, slots=True)
class Story:
    """What was in the memory, and what was emitted: one entry per step in `emitted`.

    Args:
        lives: every item and every version of it, in order of `start`.
        emitted: what each step's text says, with what became of each.
        problem: why the memory could not be told, "" if it could.
    """

    lives: tuple[Life, ...] = ()
    emitted: tuple[tuple[tuple[Parsed, OperationResult], ...], ...] = ()
    problem: str = ""
    _by_id: dict[int, list[Life]] = field(default_factory=dict)

    def at(self, step: int) -> tuple[Life, ...]:
        """The memory right after `step`, by item id."""
        standing = (life for life in self.lives if life.stands(step))
        return tuple(sorted(standing, key=lambda life: life.item.id))

    def item(self, item_id: int, step: int) -> Life | None:
        """An item as it stood right after `step`."""
        for life in self._by_id.get(item_id, ()):
            if life.stands(step):
                return life
        return None


def tell(trace: Trace) -> Story:
    """The story of a trace; with a `problem` where its outcomes do not follow from its actions."""
    hierarchical = trace.settings.get("memory") == "hierarchical"
    memory = (HierarchicalMemory if hierarchical else Memory)(count_tokens=approx_tokens)
    lives: list[Life] = []
    open_: dict[int, int] = {}  # item id -> place in `lives`
    emitted = []
    numbered = trace.settings.get("line_numbers") is True
    media = trace.settings.get("media") is True
    for t, step in enumerate(trace.steps):
        if (numbered or media) and step.chunk is None:
            return Story(problem=_NUMBERED)
        sentences = split_sentences(step.chunk or "") if numbered else None
        parsed = parse(step.action, sentences, media=media)
        if len(parsed) != len(step.operations):
            return Story(problem=_UNREADABLE.format(t))
        memory.offer(step.media)
        pairs = tuple(zip(parsed, step.operations, strict=True))
        emitted.append(tuple((_told(entry, memory), result) for entry, result in pairs))
        accepted = [pair for pair in pairs if pair[1].accepted]
        if not _apply(memory, t, accepted, lives, open_):
            return Story(problem=_UNREADABLE.format(t))
    by_id: dict[int, list[Life]] = {}
    for life in lives:
        by_id.setdefault(life.item.id, []).append(life)
    return Story(tuple(lives), tuple(emitted), _by_id=by_id)


_NUMBERED = (
    "the memory cannot be told: operations name sentences of the chunks by number, or their media, "
    "and the trace does not hold the chunks."
)
_UNREADABLE = (
    "what the trace says became of the operations of step {} does not follow from its text: "
    "another version of the action grammar, or a file that was changed."
)


def _told(entry: Parsed, memory: Memory) -> Parsed:
    """An operation with the text form of the media that it names in its content."""
    if not isinstance(entry, Operation) or not entry.media:
        return entry
    media = filter(None, map(memory.medium, entry.media))
    texts = [entry.content or "", *map(stored_form, media)]
    return replace(entry, content="\n".join(filter(None, texts)))


def _apply(
    memory: Memory,
    t: int,
    accepted: Sequence[tuple[Parsed, OperationResult]],
    lives: list[Life],
    open_: dict[int, int],
) -> bool:
    """Take a step; False where the outcomes are not those of the trace."""
    if not all(isinstance(entry, Operation) for entry, _ in accepted):
        return False
    change = memory.apply(t, [entry for entry, _ in accepted])
    stored = [(result.accepted, result.name, result.item_id) for _, result in accepted]
    if [(result.accepted, result.name, result.item_id) for result in change.results] != stored:
        return False
    kept = {item.id for item in change.added}
    for item in change.removed:
        place = open_.pop(item.id)
        how = OVERWRITTEN if item.id in kept else DELETED
        lives[place] = replace(lives[place], end=t, how=how)
    for item in change.added:
        open_[item.id] = len(lives)
        lives.append(Life(item, t))
    return True

"""What the manager reads: the instructions, and one observation per step.

The chunk comes first and the memory after it, so that the rollouts of a group share a prefix which
a serving engine computes once. `parse_observation` inverts `render_observation` exactly: every line
of the memory block starts with "[" or two spaces, so no item can forge the tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "CLIP_MARK",
    "INSTRUCTIONS",
    "PROMPT_VERSION",
    "View",
    "parse_observation",
    "render_item",
    "render_observation",
]

PROMPT_VERSION = "1"
CLIP_MARK = "[... clipped ...]"

INSTRUCTIONS = """\
You manage an external memory. You read a long text chunk by chunk; after each chunk you edit the \
memory. Later, questions about the whole text are answered from the memory alone, so keep what \
may be asked, keep it correct when facts change, and leave out the rest: the memory is limited.

Reply with a JSON list of operations and nothing else:
  {"op": "INSERT", "content": "text to remember"}
  {"op": "UPDATE", "id": "3", "content": "new text of item 3"}
  {"op": "DELETE", "id": "3"}
or, when the chunk holds nothing worth keeping: [{"op": "SKIP"}]
An item is found again by the words it shares with a question. Write self-contained sentences."""

_HEAD = re.compile(r'<chunk index="(\d+)" of="(\d+|\?)"(?: time="([^"]*)")?>\n')
_MEMORY = re.compile(r'<memory items="(\d+)" tokens="(\d+)" budget="(\d+|none)">\n')
_HIDDEN = re.compile(r"\((\d+) more items are not shown\)")
_ITEM = re.compile(r"\[(\d+)\] (.*)")


@dataclass(frozen=True, slots=True)
class View:
    """An observation taken apart: `chunk` None after the last one, `budget` None if unlimited."""

    chunk_index: int
    num_chunks: int
    time: str | None
    chunk: str | None
    items: tuple[tuple[int, str], ...]
    hidden: int
    memory_items: int
    memory_tokens: int
    budget: int | None


def render_item(item_id: int, content: str) -> str:
    """One memory item; further lines of its content are indented by two spaces."""
    return f"[{item_id}] " + content.replace("\n", "\n  ")


def render_observation(
    *,
    chunk: str | None,
    chunk_index: int,
    num_chunks: int,
    time: str | None,
    lines: Sequence[str],
    memory_items: int,
    memory_tokens: int,
    budget: int | None,
) -> str:
    """Observation text: the chunk, then the visible items (`lines`, from `render_item`).

    `num_chunks` -1 means unknown. `chunk` None is the view after the last chunk.
    """
    if chunk is None:
        head = f"All {chunk_index} chunks were read."
    else:
        of = num_chunks if num_chunks >= 0 else "?"
        at = "" if time is None else ' time="' + time.replace('"', "'") + '"'
        head = f'<chunk index="{chunk_index}" of="{of}"{at}>\n{chunk}\n</chunk>'
    limit = "none" if budget is None else budget
    body = "\n".join(lines) if lines else "(empty)" if not memory_items else ""
    hidden = memory_items - len(lines)
    if hidden:
        body += f"{chr(10) if body else ''}({hidden} more items are not shown)"
    return (
        f'{head}\n\n<memory items="{memory_items}" tokens="{memory_tokens}" budget="{limit}">\n'
        f"{body}\n</memory>"
    )


def parse_observation(observation: str) -> View:
    """Take an observation apart (with or without the instructions in front of it).

    Raises:
        ValueError: the text is not an observation of this suite.
    """
    start = observation.rfind("\n\n<memory items=")
    match = _MEMORY.match(observation, start + 2)
    if start < 0 or match is None:
        raise ValueError("not an observation: it has no <memory> block.")
    body = observation[match.end() : observation.rfind("\n</memory>")]
    items, hidden = _parse_items(body)
    index, total, time, chunk = _parse_chunk(observation[:start])
    return View(
        chunk_index=index,
        num_chunks=total,
        time=time,
        chunk=chunk,
        items=items,
        hidden=hidden,
        memory_items=int(match[1]),
        memory_tokens=int(match[2]),
        budget=None if match[3] == "none" else int(match[3]),
    )


def _parse_items(body: str) -> tuple[tuple[tuple[int, str], ...], int]:
    items: list[tuple[int, list[str]]] = []
    hidden = 0
    for line in body.split("\n"):
        if line.startswith("  ") and items:
            items[-1][1].append(line[2:])
        elif match := _ITEM.fullmatch(line):
            items.append((int(match[1]), [match[2]]))
        elif match := _HIDDEN.fullmatch(line):
            hidden = int(match[1])
    return tuple((item_id, "\n".join(lines)) for item_id, lines in items), hidden


def _parse_chunk(head: str) -> tuple[int, int, str | None, str | None]:
    match = _HEAD.search(head)
    if match is None:
        return -1, -1, None, None
    total = -1 if match[2] == "?" else int(match[2])
    return int(match[1]), total, match[3], head[match.end() : -len("\n</chunk>")]

"""What the manager reads: the instructions, and one observation per step.

The chunk comes first and the memory after it, so that the rollouts of a group share a prefix which
a serving engine computes once. `parse_observation` inverts `render_observation` exactly: every line
of the memory block starts with "[" or two spaces, so no item can forge the tags. Where sentences
are numbered, every line of the chunk starts with its number too. Pictures and sounds are the last
lines of the chunk, as many as its tag says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from finemem_env.media import parse_form
from finemem_env.prompts.files import load_prompt
from finemem_env.text.lines import join_lines, number_lines
from finemem_env.types import Medium

PROMPT_VERSION = "1"
PROMPT_VERSIONS = {"flat": PROMPT_VERSION, "hierarchical": "stores/1"}
LINES_PROMPT = "manage_lines/1"
MEDIA_PROMPT = "manage_media/1"
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

STORE_INSTRUCTIONS = """\
You manage an external memory. You read a long text chunk by chunk; after each chunk you edit the \
memory. Later, questions about the whole text are answered from the memory alone.

The memory has three stores:
- core: one short text that is always visible, at most 512 tokens: who the user is, or a summary \
of what was read so far, or the rules of a classification
- semantic: facts and knowledge, such as "John is an 18-year-old friend of the user", and labelled \
examples
- episodic: what happened when, such as "At 2024-01-03 the user did X"

Reply with a JSON list of operations and nothing else:
  {"op": "INSERT", "store": "semantic", "content": "text to remember"}
  {"op": "UPDATE", "store": "core", "content": "new text of the core"}
  {"op": "UPDATE", "store": "episodic", "id": "3", "content": "new text of item 3"}
  {"op": "DELETE", "store": "semantic", "id": "4"}
or, when the chunk holds nothing worth keeping: [{"op": "SKIP"}]
The calls new_memory_insert, memory_update and memory_delete with memory_type are understood too. \
Write all operations at once: there is no second turn."""

_HEAD = re.compile(
    r'<chunk index="(\d+)" of="(\d+|\?)"(?: time="([^"]*)")?(?: lines="(\d+)")?'
    r'(?: media="(\d+)")?>\n'
)
_MEMORY = re.compile(r'<memory items="(\d+)" tokens="(\d+)" budget="(\d+|none)">\n')
_HIDDEN = re.compile(r"\((\d+) more items are not shown\)")
_STORE = re.compile(r'^<(\w+) shown="(\d+)" of="(\d+)">$', re.MULTILINE)
_ITEM = re.compile(r"\[(\d+)\] (.*)")


@dataclass(frozen=True, slots=True)
class NumberedChunk:
    """A chunk whose sentences are numbered.

    `starts`: numbers of those that begin a paragraph after another. `clipped`: some are left out at
    the end.
    """

    sentences: tuple[str, ...]
    starts: frozenset[int] = frozenset()
    clipped: bool = False

    @property
    def body(self) -> str:
        """What is shown."""
        return number_lines(self.sentences, self.starts) + (
            f"\n{CLIP_MARK}" if self.clipped else ""
        )


@dataclass(frozen=True, slots=True)
class View:
    """An observation taken apart: `chunk` None after the last one, `budget` None if unlimited.

    Of a hierarchical memory, `core` is its core ("" if empty) and `stores` the store of each item.
    `lines` are the numbered sentences of the chunk, of which `chunk` then consists; None where they
    have no numbers. `media` are its pictures and sounds, whose lines stand at the end of `chunk`.
    """

    chunk_index: int
    num_chunks: int
    time: str | None
    chunk: str | None
    items: tuple[tuple[int, str], ...]
    hidden: int
    memory_items: int
    memory_tokens: int
    budget: int | None
    core: str = ""
    stores: tuple[str, ...] = ()
    lines: tuple[str, ...] | None = None
    media: tuple[Medium, ...] = ()

    @property
    def text(self) -> str | None:
        """The chunk without the lines of its media."""
        if self.chunk is None or not self.media:
            return self.chunk
        return "\n".join(self.chunk.split("\n")[: -len(self.media)])


def instructions_for(memory: str, line_numbers: bool = False, media: bool = False) -> str:
    """The action grammar for a kind of memory, "flat" or "hierarchical"."""
    if media:
        before = instructions_for(memory, line_numbers)
        return f"{before}\n\n{load_prompt(MEDIA_PROMPT).sections['media']}"
    if line_numbers:
        return load_prompt(LINES_PROMPT).sections[memory]
    return STORE_INSTRUCTIONS if memory == "hierarchical" else INSTRUCTIONS


def has_line_numbers(observation: str) -> bool:
    """Whether the sentences of the observation's chunk are numbered."""
    match = _HEAD.search(observation)
    return match is not None and match[4] is not None


def has_media_names(observation: str) -> bool:
    """Whether the observation's chunk shows media that operations can name."""
    match = _HEAD.search(observation)
    if match is None or match[5] is None:
        return False
    return any(medium.name for medium in parse_observation(observation).media)


def prompt_version(memory: str, line_numbers: bool = False, media: bool = False) -> str:
    """What pins the instructions and the form of the observation."""
    if media:
        return f"{prompt_version(memory, line_numbers)} {MEDIA_PROMPT}"
    return f"{LINES_PROMPT} {memory}" if line_numbers else PROMPT_VERSIONS[memory]


def render_item(item_id: int, content: str) -> str:
    """One memory item; further lines of its content are indented by two spaces."""
    return f"[{item_id}] " + content.replace("\n", "\n  ")


class StoreLines(NamedTuple):
    """What is visible of a hierarchical memory: the lines of its core, None while it is empty.

    `stores`: (name, visible lines of `render_item`, items in all) of every other store.
    """

    core: str | None
    stores: Sequence[tuple[str, Sequence[str], int]]


def render_observation(
    *,
    chunk: str | NumberedChunk | None,
    chunk_index: int,
    num_chunks: int,
    time: str | None,
    lines: Sequence[str] | StoreLines,
    memory_items: int,
    memory_tokens: int,
    budget: int | None,
    media: Sequence[str] = (),
) -> str:
    """Observation text: the chunk, then the visible items (`lines`, from `render_item`).

    `num_chunks` -1 means unknown. `chunk` None is the view after the last chunk. `media` are the
    lines of its pictures and sounds.
    """
    if isinstance(lines, StoreLines):
        body = _render_stores(lines)
    else:
        body = _render_items(lines, memory_items)
    limit = "none" if budget is None else budget
    return (
        f"{_render_chunk(chunk, chunk_index, num_chunks, time, media)}\n\n"
        f'<memory items="{memory_items}" tokens="{memory_tokens}" budget="{limit}">\n'
        f"{body}\n</memory>"
    )


def _render_items(lines: Sequence[str], memory_items: int) -> str:
    body = "\n".join(lines) if lines else "(empty)" if not memory_items else ""
    hidden = memory_items - len(lines)
    if hidden:
        body += f"{chr(10) if body else ''}({hidden} more items are not shown)"
    return body


def _render_stores(visible: StoreLines) -> str:
    blocks = [f"<core>\n{'' if visible.core is None else visible.core + chr(10)}</core>"]
    for name, lines, total in visible.stores:
        inner = "\n".join(lines) + "\n" if lines else ""
        blocks.append(f'<{name} shown="{len(lines)}" of="{total}">\n{inner}</{name}>')
    return "\n".join(blocks)


def _render_chunk(
    chunk: str | NumberedChunk | None,
    index: int,
    num_chunks: int,
    time: str | None,
    media: Sequence[str],
) -> str:
    if chunk is None:
        return f"All {index} chunks were read."
    of = num_chunks if num_chunks >= 0 else "?"
    at = "" if time is None else ' time="' + time.replace('"', "'") + '"'
    if isinstance(chunk, NumberedChunk):
        at += f' lines="{len(chunk.sentences)}"'
        chunk = chunk.body
    if media:
        at += f' media="{len(media)}"'
        chunk = "\n".join([chunk, *media])
    return f'<chunk index="{index}" of="{of}"{at}>\n{chunk}\n</chunk>'


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
    core, stores = _parse_stores(body) if body.startswith("<core>\n") else ("", [("", 0, body)])
    parsed = [(name, of, *_parse_items(inner)) for name, of, inner in stores]
    index, total, time, chunk, lines, media = _parse_chunk(observation[:start])
    return View(
        chunk_index=index,
        num_chunks=total,
        time=time,
        chunk=chunk,
        lines=lines,
        media=media,
        items=tuple(item for _, _, items, _ in parsed for item in items),
        hidden=sum(max(hidden, of - len(items)) for _, of, items, hidden in parsed),
        memory_items=int(match[1]),
        memory_tokens=int(match[2]),
        budget=None if match[3] == "none" else int(match[3]),
        core=core,
        stores=tuple(name for name, _, items, _ in parsed if name for _ in items),
    )


def _parse_stores(body: str) -> tuple[str, list[tuple[str, int, str]]]:
    """The core, and (name, items in all, lines) of every other store."""
    end = body.index("\n</core>")
    core = "\n".join(line[2:] for line in body[len("<core>\n") : end].split("\n"))
    starts = list(_STORE.finditer(body, end))
    ends = [*(match.start() for match in starts[1:]), len(body)]
    return core, [
        (match[1], int(match[3]), body[match.end() : stop])
        for match, stop in zip(starts, ends, strict=True)
    ]


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


class _Chunk(NamedTuple):
    number: int
    num_chunks: int
    time: str | None
    text: str | None
    lines: tuple[str, ...] | None
    media: tuple[Medium, ...]


def _parse_chunk(head: str) -> _Chunk:
    match = _HEAD.search(head)
    if match is None:
        return _Chunk(-1, -1, None, None, None, ())
    total = -1 if match[2] == "?" else int(match[2])
    rows = head[match.end() : -len("\n</chunk>")].split("\n")
    count = len(rows) - int(match[5] or 0)
    forms = map(parse_form, rows[count:])
    media = tuple(medium for medium in forms if medium is not None)
    lines = None
    if match[4] is not None:
        lines, text = _parse_lines(rows[:count], int(match[4]))
        rows[:count] = [text]
    return _Chunk(int(match[1]), total, match[3], "\n".join(rows), lines, media)


def _parse_lines(rows: Sequence[str], count: int) -> tuple[tuple[str, ...], str]:
    """The numbered sentences, and the text that they are: paragraphs parted by blank lines."""
    paragraphs: list[list[str]] = [[]]
    rest = ""
    for row in rows:
        if not row:
            paragraphs.append([])
        elif count:
            paragraphs[-1].append(row.partition(" ")[2])
            count -= 1
        else:
            rest = f"\n{row}"
    text = "\n\n".join(join_lines(sentences) for sentences in paragraphs) + rest
    return tuple(sentence for sentences in paragraphs for sentence in sentences), text.lstrip("\n")

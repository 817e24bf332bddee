"""Be the memory manager of one episode: `python -m finemem_env play ID`.

You read a text chunk by chunk and keep notes. What you do not write down is gone. After the last
chunk a reader, who sees nothing but your notes, is asked questions: your score is the share that it
answers. The notes hold a limited number of tokens, shown with them.

    keep 2 5          store sentences 2 and 5 of the chunk
    + any text        store a note in your own words
    3 = any text      rewrite note 3          replace 3 with 4   by sentence 4
    - 3               delete note 3           drop 3             the same

One a line, as many as you like; an empty line sends them, an empty line alone skips the chunk, `q`
ends the game. A JSON list of operations works too. After each chunk you see what the reader answers
from your notes so far, and what that earned.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from finemem_env.cli.frame import program
from finemem_env.cli.options import add_env_options, add_seed, env_args, env_id
from finemem_env.operations import render
from finemem_env.types import Op, Operation

_UPDATE = re.compile(r"(\d+)\s*=\s*(.+)")
_DELETE = re.compile(r"-\s*(\d+)")
_NAMED = re.compile(r"(?:keep|replace|drop)\s+\d|skip$", re.IGNORECASE)


def main(arguments: Sequence[str]) -> int:
    """Play one episode in the terminal."""
    parser = program("finemem_env play", __doc__)
    add_env_options(parser, positional=True)
    add_seed(parser, "seed of the episode (default: another one every time)", default=None)
    options = parser.parse_args(arguments)
    name, keywords = env_id(options), env_args(options)
    env = gym.make(name, render_mode="ansi", **{"line_numbers": True, **keywords})
    _, info = env.reset(seed=options.seed)
    chunks = "any number of" if info["num_chunks"] < 0 else info["num_chunks"]
    print(f"{__doc__}\n{name}, {chunks} chunks, {_room(info)}.\n")
    total, over = 0.0, False
    while not over:
        print(wrapped(str(env.render())))
        action = read_action(numbered="lines" in info)
        if action is None:
            print("stopped before the last chunk: no score.")
            return 0
        _, reward, over, _, info = env.step(action)
        total += float(reward)
    print(wrapped(str(env.render())))
    score = info["reward_terms"]["global"]
    print(f"final score {score:.3f}, return {total:.3f}, memory {info['memory_tokens']} tokens")
    return 0


def wrapped(text: str, width: int | None = None) -> str:
    """`text` with its long lines broken between words; what goes on is indented.

    Args:
        text: any number of lines.
        width: columns; None: of this terminal, 100 at most.
    """
    columns = width or min(100, shutil.get_terminal_size((100, 24)).columns)
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        parts = textwrap.TextWrapper(columns, subsequent_indent=indent, break_long_words=False)
        parts.break_on_hyphens = False
        lines += parts.wrap(line) or [""]
    return "\n".join(lines)


def _room(info: Mapping[str, Any]) -> str:
    """How much the memory holds."""
    budget = info["limits"]["memory_budget"]
    return "no limit of the notes" if budget < 0 else f"room for {budget} tokens of notes"


def read_action(*, numbered: bool = False) -> str | None:
    """One action from standard input: JSON as it is, short forms translated; None to stop.

    With `numbered` lines, those that name them by number stay as they are too.
    """
    lines: list[str] = []
    print("> ", end="", flush=True)
    for line in sys.stdin:
        text = line.rstrip("\n")
        if text.strip() == "q":
            return None
        if not text.strip():
            return _translate(lines, numbered)
        lines.append(text)
        if text.lstrip().startswith(("[", "{")) and len(lines) == 1:
            return text
    return _translate(lines, numbered) if lines else None


def _translate(lines: Sequence[str], numbered: bool) -> str:
    parts: list[Operation | str] = []
    for line in lines:
        text = line.strip()
        if numbered and _NAMED.match(text):
            parts.append(text)
        elif match := _UPDATE.fullmatch(text):
            parts.append(Operation(Op.UPDATE, content=match[2], item_id=int(match[1])))
        elif match := _DELETE.fullmatch(text):
            parts.append(Operation(Op.DELETE, item_id=int(match[1])))
        else:
            content = text.removeprefix("+").strip()
            parts.append(Operation(Op.INSERT, content=content))
    if any(isinstance(part, str) for part in parts):
        return "\n".join(part if isinstance(part, str) else render([part]) for part in parts)
    operations = [part for part in parts if isinstance(part, Operation)]
    return render(operations or [Operation(Op.SKIP)])

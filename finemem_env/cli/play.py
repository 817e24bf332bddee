"""`python -m finemem_env play ID`: be the memory manager of one episode.

Type a JSON list of operations, or the short forms `+ text` (INSERT), `N = text` (UPDATE item N),
`- N` (DELETE item N) joined by new lines; an empty line sends them, nothing at all is a SKIP.
With `--env-args '{"line_numbers": true}'` the sentences have numbers: `keep 2 5` stores two of
them, `replace 3 with 4` puts sentence 4 in the place of item 3, `drop 7` is `- 7`. `q` ends the
game.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import gymnasium as gym

from finemem_env.cli.frame import program
from finemem_env.cli.options import add_env_options, add_seed, env_args, env_id
from finemem_env.operations import render
from finemem_env.types import Op, Operation

__all__ = ["main", "read_action"]

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
    env = gym.make(name, render_mode="human", **keywords)
    print(__doc__)
    _, info = env.reset(seed=options.seed)
    total, over = 0.0, False
    while not over:
        action = read_action(numbered="lines" in info)
        if action is None:
            print("stopped before the last chunk: no score.")
            return 0
        _, reward, over, _, info = env.step(action)
        total += float(reward)
    score = info["reward_terms"]["global"]
    print(f"final score {score:.3f}, return {total:.3f}, memory {info['memory_tokens']} tokens")
    return 0


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

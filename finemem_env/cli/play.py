"""`python -m finemem_env play ID`: be the memory manager of one episode.

Type a JSON list of operations, or the short forms `+ text` (INSERT), `N = text` (UPDATE item N),
`- N` (DELETE item N) joined by new lines; an empty line sends them, nothing at all is a SKIP.
`q` ends the game.
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


def main(arguments: Sequence[str]) -> int:
    """Play one episode in the terminal."""
    parser = program("finemem_env play", __doc__)
    add_env_options(parser, positional=True)
    add_seed(parser, "seed of the episode (default: another one every time)", default=None)
    options = parser.parse_args(arguments)
    name, keywords = env_id(options), env_args(options)
    env = gym.make(f"finemem_env:{name}", render_mode="human", **keywords)
    print(__doc__)
    env.reset(seed=options.seed)
    total, over = 0.0, False
    while not over:
        action = read_action()
        if action is None:
            print("stopped before the last chunk: no score.")
            return 0
        _, reward, over, _, info = env.step(action)
        total += float(reward)
    score = info["reward_terms"]["global"]
    print(f"final score {score:.3f}, return {total:.3f}, memory {info['memory_tokens']} tokens")
    return 0


def read_action() -> str | None:
    """One action from standard input: JSON as it is, short forms translated; None to stop."""
    lines: list[str] = []
    print("> ", end="", flush=True)
    for line in sys.stdin:
        text = line.rstrip("\n")
        if text.strip() == "q":
            return None
        if not text.strip():
            return _translate(lines)
        lines.append(text)
        if text.lstrip().startswith(("[", "{")) and len(lines) == 1:
            return text
    return _translate(lines) if lines else None


def _translate(lines: Sequence[str]) -> str:
    operations = []
    for line in lines:
        text = line.strip()
        if match := _UPDATE.fullmatch(text):
            operations.append(Operation(Op.UPDATE, content=match[2], item_id=int(match[1])))
        elif match := _DELETE.fullmatch(text):
            operations.append(Operation(Op.DELETE, item_id=int(match[1])))
        else:
            content = text.removeprefix("+").strip()
            operations.append(Operation(Op.INSERT, content=content))
    return render(operations or [Operation(Op.SKIP)])

"""`python -m finemem_env COMMAND`: list, play, build, convert, chunk-qa, view, cost."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from finemem_env._version import __version__
from finemem_env.cli.frame import command, program

__all__ = ["main"]

COMMANDS = {
    "list": "environment ids, sources, protocols, rewards and readers, one line each",
    "play": "read an episode chunk by chunk and type the operations yourself",
    "build": "pack a source into an episode file",
    "convert": "turn a table of your own, or a publisher's folder, into an episode file",
    "chunk-qa": "write chunk questions into an episode file",
    "view": "look at a run or a trace in the browser: one page that needs no network",
    "cost": "how many calls and tokens a training step or a benchmark takes",
}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand."""
    listed = "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())
    parser = program("finemem_env", __doc__, f"commands:\n{listed}")
    parser.add_argument("--version", action="version", version=f"finemem-env {__version__}")
    parser.add_argument("command", choices=sorted(COMMANDS), help="what to do (see below)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="COMMAND --help explains them")
    options = parser.parse_args(arguments)
    module = importlib.import_module(f"finemem_env.cli.{options.command.replace('-', '_')}")
    status: int = module.main(options.arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())

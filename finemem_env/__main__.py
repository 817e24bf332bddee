"""`python -m finemem_env COMMAND`: list, play, build, chunk-qa, cost."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

import gymnasium as gym

from finemem_env._version import __version__
from finemem_env.errors import FineMemError

__all__ = ["main"]

COMMANDS = {
    "list": "environment ids, sources, protocols, rewards and readers, one line each",
    "play": "read an episode chunk by chunk and type the operations yourself",
    "build": "pack a source into an episode file",
    "chunk-qa": "write chunk questions into an episode file",
    "cost": "how many calls and tokens a training step or a benchmark takes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; errors a user can mend are one line on stderr and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m finemem_env",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items()),
    )
    parser.add_argument("--version", action="version", version=f"finemem-env {__version__}")
    parser.add_argument("command", choices=sorted(COMMANDS), help="what to do (see below)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="COMMAND --help explains them")
    given = parser.parse_args(argv)
    command = importlib.import_module(f"finemem_env.cli.{given.command.replace('-', '_')}")
    try:
        status: int = command.main(given.arguments)
    except (FineMemError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())

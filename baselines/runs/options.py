"""What the command lines that play episodes have in common."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from typing import Any

from baselines.runs.choice import AgentChoice
from baselines.runs.folder import RunFolder

__all__ = ["AgentArguments", "Progress", "json_object", "positive", "print_settings"]


class AgentArguments(argparse.Action):
    """`--agent-args` belongs to the `--agent` before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401
        option_string: str | None = None,
    ) -> None:
        """Attach the parsed object to the last agent."""
        if not namespace.agent:
            parser.error("--agent-args must follow the --agent it belongs to")
        namespace.agent[-1] = AgentChoice(namespace.agent[-1].name, values)


def json_object(text: str) -> dict[str, Any]:
    """An option that is a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text}")
    return value


def positive(text: str) -> int:
    """An option that is an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


class Progress:
    """A bar when tqdm is installed (extra "bench"), else a line on stderr that is rewritten."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bar: Any = None

    def __call__(self, text: str) -> None:
        """Count one more episode."""
        self._done += 1
        if self._done == 1 and importlib.util.find_spec("tqdm"):
            self._bar = importlib.import_module("tqdm").tqdm(total=self._total, unit="episode")
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()
        else:
            print(f"\r{self._done}/{self._total} {text:<40}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()
        elif self._done:
            print(file=sys.stderr)


def print_settings(folder: RunFolder) -> None:
    """Say where a run is and under which resolved settings it was played, as in its config.json."""
    print(f"settings: {json.dumps(folder.config()['settings'], ensure_ascii=False)}")
    print(f"written to {folder.path}")

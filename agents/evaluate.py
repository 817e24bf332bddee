"""Score a run's weights in the benchmark's format: `python -m agents.evaluate RUN --env ID`.

Writes what `python -m baselines.benchmark` writes (config.json, results.jsonl, traces.jsonl,
summary.json): it is the benchmark that plays, with skip and oracle for the normalised score.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from agents.runs.load import read_config
from baselines import benchmark
from finemem_env.errors import FineMemError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; options that are not listed here go to the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m agents.evaluate", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run of agents.grpo")
    parser.add_argument("--env", help="environment id (default: the run's)")
    parser.add_argument("--env-args", type=json.loads, help="JSON (default: the run's)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    parser.add_argument("--output-dir", type=Path, help="default: RUN/evaluation")
    given, rest = parser.parse_known_args(arguments)
    try:
        config = read_config(given.run)
    except FineMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    env_args = given.env_args
    if env_args is None:
        env_args = {k: v for k, v in config.environment.evaluation("test").items() if k != "split"}
    agent = {"run": str(given.run), "temperature": given.temperature}
    output = given.output_dir or given.run / "evaluation"
    return benchmark.main(
        [
            *("--env", given.env or config.environment.env, "--env-args", json.dumps(env_args)),
            *("--agent", "agents.policy:Manager", "--agent-args", json.dumps(agent)),
            *("--output-dir", str(output), *rest),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

"""Score a run's weights in the benchmark's format: `python -m agents.evaluate RUN --env ID`.

Writes what `python -m baselines.benchmark` writes (config.json, results.jsonl, traces.jsonl,
summary.json): it is the benchmark that plays, with skip and oracle for the normalised score. The
agent is named with the update of the run's best weights: a run that was trained further is another.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from agents.runs.load import best_update, read_config, refuse_reaching
from baselines import benchmark
from baselines.reaching import add_trust
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import at_least_zero, json_object


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; options that are not listed here go to the benchmark."""
    parser = program("agents.evaluate", __doc__)
    parser.add_argument("run", type=Path, help="folder of a run of agents.grpo")
    parser.add_argument("--env", help="environment id (default: the run's)")
    parser.add_argument(
        "--env-args", type=json_object, metavar="JSON", help="its keywords (default: the run's)"
    )
    parser.add_argument("--temperature", type=at_least_zero, default=0.0, help="0 is greedy")
    parser.add_argument("--output-dir", type=Path, help="default: RUN/evaluation")
    add_trust(parser)
    options, rest = parser.parse_known_args(arguments)
    config = read_config(options.run)
    own = {k: v for k, v in config.environment.evaluation("test").items() if k != "split"}
    if not options.trust_settings:
        env = {"id": config.environment.env} if options.env is None else {}
        refuse_reaching(config, options.run, env | (own if options.env_args is None else {}))
    env_args = own if options.env_args is None else options.env_args
    # The update keeps results apart from those of a run that was trained further.
    agent = {"run": str(options.run), "update": best_update(options.run)}
    agent["temperature"] = options.temperature
    agent |= {"trust_settings": True} if options.trust_settings else {}
    output = options.output_dir or options.run / "evaluation"
    return benchmark.main(
        [
            *("--env", options.env or config.environment.env, "--env-args", json.dumps(env_args)),
            *("--agent", "agents.policy:Manager", "--agent-args", json.dumps(agent)),
            *("--output-dir", str(output), *rest),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

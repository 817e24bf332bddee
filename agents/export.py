"""Write a run's weights as a plain transformers folder: `python -m agents.export RUN DIR`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from agents.runs.config import TrainConfig
from agents.runs.load import load_run
from baselines.reaching import add_trust
from finemem_env.cli.frame import command, program
from finemem_env.errors import ConfigError
from finemem_env.fields import read_object

CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
base_model: {model}
tags: [memory, reinforcement-learning, finemem-env]
---

# Memory manager trained with finemem-env

Reads a long text chunk by chunk and replies with a JSON list of operations (INSERT, UPDATE, DELETE,
SKIP) on an external memory. Trained with `python -m agents.grpo` on `{env}` from `{model}`.

| | |
|---|---|
| updates | {done} of {updates} (weights: {which}) |
| reward | {reward} |
| estimator | credit {credit}, baseline {baseline} ({center}), scale {scale} |
| loss | {loss_type}, lr {lr} |
| held-out score at the best update | {score} |

Prompts {instructions} the environment's instructions{numbers}. Play it in the benchmark:

```bash
python -m baselines.benchmark --env {shell_env}{env_option} --agent agents.policy:Manager \\
    --agent-args {agent_args} --output-dir runs/exported
```

The reward scores a frozen reader's answers on generated or published data; the model was not tested
as a general assistant.
"""


def export(run: Path, folder: Path, which: str = "best", *, trust: bool = False) -> None:
    """Model (adapters merged), tokenizer and model card of a run.

    Raises:
        ConfigError: not a run, no such weights, a folder that is not empty, or a run that names a
            model other than the packaged one and is not trusted.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: expected a new or empty folder.")
    config, policy = load_run(run, which, trust=trust)
    from agents.learn.checkpoint import put_folder

    def write(aside: Path) -> None:
        policy.save(aside)
        (aside / "README.md").write_text(_card(config, run, folder, which), encoding="utf-8")

    put_folder(folder, write, "export again; the run is as it was.")


def _card(config: TrainConfig, run: Path, folder: Path, which: str) -> str:
    values = config.as_dict()
    values["reward"] = config.environment.reward or "the protocol's"
    numbered = bool(config.environment.env_args.get("line_numbers"))
    agent = {"model": str(folder), "instructions": config.sampling.instructions}
    score = "not recorded"
    for state in sorted((run / "best").glob("*/state.json")):
        record = read_object(state)
        score = f"{record.number('eval/score'):.3f} (update {record.count('update')})"
    return CARD.format(
        **{key: values[key] for key in values if key != "instructions"},
        which=which,
        score=score,
        done=_done(run, which),
        agent_args=shlex.quote(json.dumps(agent)),
        shell_env=shlex.quote(config.environment.env),
        instructions="hold" if config.sampling.instructions else "do not hold",
        numbers=", and number the sentences of every chunk (`line_numbers`)" if numbered else "",
        env_option=" --env-args '{\"line_numbers\": true}'" if numbered else "",
    )


def _done(run: Path, which: str) -> int:
    """Updates behind these weights."""
    from agents.learn import checkpoint

    kept = checkpoint.latest(run / {"best": "best", "last": "checkpoints"}[which])
    return 0 if kept is None else int(kept.name)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = program("agents.export", __doc__)
    parser.add_argument("run", type=Path, help="folder of a run of agents.grpo")
    parser.add_argument("folder", type=Path, help="new folder for the model")
    parser.add_argument("--weights", choices=("best", "last"), default="best", help="which ones")
    add_trust(parser)
    options = parser.parse_args(arguments)
    export(options.run, options.folder, options.weights, trust=options.trust_settings)
    print(f"written to {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command line of a warm start from a pretrained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from agents.learn.references import TEXTS
from agents.runs.console import signals
from agents.settings import ModelConfig
from finemem_env.cli.options import at_least, positive
from finemem_env.extras import needs

FOLDER = Path("runs/warmstart")


def add_pretrained(parser: argparse.ArgumentParser) -> None:
    """The options that belong to `--model`."""
    part = parser.add_argument_group("a pretrained model: the action format, on real text")
    add = part.add_argument
    add("--model", help="such as smollm2-135m; the same command goes on where it was stopped")
    add("--texts", nargs="+", choices=TEXTS, default=list(TEXTS), help="where chunks come from")
    add("--steps", type=positive, default=160, help="optimizer steps")
    add("--prompts", type=positive, default=4, help="observations of a step")
    add("--replies", type=positive, default=12, help="of the teacher to each of them: nearly free")
    add("--layers", type=positive, help="keep only so many blocks, the first")
    frozen = "embeddings and first blocks that are not trained"
    add("--frozen-layers", type=at_least(0), default=0, help=frozen)
    add("--lora-rank", type=at_least(0), default=0, help="of adapters; 0 trains the weights")
    add(
        "--precision",
        choices=("float32", "bfloat16", "mixed"),
        default="float32",
        help="of weights and arithmetic; bfloat16 pays on CPUs that have it",
    )


def run_pretrained(given: argparse.Namespace) -> dict[str, Any]:
    """Train, or go on with it; returns the record.

    Raises:
        ConfigError: as for `imitate`, or packages are missing.
        DataError: the files of a source are not there.
    """
    with needs("a warm start", "train"):
        import torch

        from agents.learn.imitation import Imitation, imitate
    if given.threads:
        torch.set_num_threads(given.threads)
    model = ModelConfig(
        given.model,
        precision=given.precision,
        layers=given.layers,
        frozen_layers=given.frozen_layers,
        lora_rank=given.lora_rank,
    )
    rate = {} if given.lr is None else {"lr": given.lr}
    config = Imitation(
        model,
        texts=tuple(given.texts),
        steps=given.steps,
        prompts=given.prompts,
        replies=given.replies,
        seed=given.seed,
        **rate,
    )
    with signals() as stop:
        return imitate(config, given.output or FOLDER, _say, stop)


def _say(text: str) -> None:
    print(text, flush=True)

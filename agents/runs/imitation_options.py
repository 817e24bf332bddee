"""The command line of a warm start from a pretrained model."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agents.learn.references import TEXTS
from agents.runs.console import signals
from agents.runs.options import add_settings
from agents.settings import ModelConfig
from finemem_env.cli.frame import saving
from finemem_env.cli.options import positive
from finemem_env.disk import claimed
from finemem_env.extras import needs

FOLDER = Path("runs/warmstart")
_GO_ON = "The same command goes on from the last checkpoint."
_HELD = ("layers", "frozen_layers", "lora_rank", "precision")  # settings of the model


def add_pretrained(parser: argparse.ArgumentParser) -> None:
    """The options that belong to `--model`."""
    part = parser.add_argument_group("a pretrained model: the action format, on real text")
    add = part.add_argument
    add("--model", help="such as smollm2-135m; the same command goes on where it was stopped")
    add("--texts", nargs="+", choices=TEXTS, default=list(TEXTS), help="where chunks come from")
    add("--steps", type=positive, default=160, help="optimizer steps")
    add("--prompts", type=positive, default=4, help="observations of a step")
    add("--replies", type=positive, default=12, help="of the teacher to each of them: nearly free")
    usual = asdict(ModelConfig())
    add_settings(part, {name: usual[name] for name in _HELD})


def run_pretrained(options: argparse.Namespace) -> dict[str, Any]:
    """Train, or go on with it; returns the record.

    Raises:
        ConfigError: as for `imitate`, or packages are missing.
        DataError: the files of a source are not there.
    """
    with needs("a warm start", "train"):
        import torch

        from agents.learn.imitation import Imitation, imitate
    if options.threads:
        torch.set_num_threads(options.threads)
    held = {name: getattr(options, name) for name in _HELD if name in options}
    model = ModelConfig(options.model, **held)
    rate = {} if options.lr is None else {"lr": options.lr}
    config = Imitation(
        model,
        texts=tuple(options.texts),
        steps=options.steps,
        prompts=options.prompts,
        replies=options.replies,
        seed=options.seed,
        **rate,
    )
    folder = options.output or FOLDER
    with claimed(folder), saving(folder, _GO_ON), signals() as stop:
        return imitate(config, folder, _say, stop)


def _say(text: str) -> None:
    print(text, flush=True)

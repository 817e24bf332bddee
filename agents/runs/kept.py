"""What evaluations leave in the folder of a run: the best weights so far, and samples.

They are written before the checkpoint that knows of them. So best weights stay until no checkpoint
names them, and a run that goes on drops what came after its checkpoint: it will be done again, and
perhaps otherwise (`--updates`, `--eval-every`).
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from agents.learn import checkpoint
from agents.learn.checkpoint import Position
from agents.runs.config import TrainConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import read_object


def last_checkpoint(run: Path, *, resume: bool) -> Path | None:
    """The checkpoint that a run in this folder goes on from; None where it begins.

    Raises:
        ConfigError: the folder holds a run that is not to be resumed, or one without checkpoints,
            whose best weights and metrics a beginning would replace.
    """
    last = checkpoint.latest(run / "checkpoints")
    best = checkpoint.latest(run / "best")
    if not resume and (last or best):
        raise ConfigError(f"{run} holds a run: add --resume, or choose another folder.")
    if last is None and best is not None and int(best.name) > 0:
        raise ConfigError(
            f"{run}: its best weights are of update {int(best.name)}, and it has no checkpoint to "
            "go on from: choose another folder."
        )
    return last


def restore(
    config: TrainConfig, last: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> Position:
    """What `checkpoint.load` gives of a checkpoint of this config.

    Raises:
        ConfigError: other settings, or fewer updates than are done.
        DataError: a file of it that is not there or damaged.
    """
    fixed, usual = config.fixed(), TrainConfig().fixed()
    position = checkpoint.load(last, model, optimizer, fixed, usual)
    if config.optimizer.updates < position.update:
        raise ConfigError(
            f"updates: expected at least the {position.update} that {last} has done, got "
            f"{config.optimizer.updates}."
        )
    return position


def save_best(run: Path, model: nn.Module, position: Position, values: Mapping[str, float]) -> None:
    """Keep the weights of `position.best_update`, with the numbers of their evaluation.

    Raises:
        ConfigError: the disk is full or not writable.
    """
    record = {"update": position.best_update, **values}
    checkpoint.save_weights(_best(run, position.best_update), model, record)
    drop_unnamed(run, position)


def drop_unnamed(run: Path, position: Position) -> None:
    """Drop best weights that neither `position` nor a checkpoint of the run names."""
    named = {position.best_update}
    for place in checkpoint.complete(run / "checkpoints"):
        with contextlib.suppress(DataError):
            state = read_object(place / checkpoint.STATE)
            named.add(int(state.child("position").number("best_update")))
    for place in checkpoint.complete(run / "best"):
        if int(place.name) not in named:
            shutil.rmtree(place, ignore_errors=True)


def drop_later(run: Path, position: Position) -> None:
    """Drop what evaluations after `position` left; without its best weights the next are kept."""
    for place in checkpoint.complete(run / "best"):
        if int(place.name) > position.best_update:
            shutil.rmtree(place, ignore_errors=True)
    for path in (run / "samples").glob("update-*.jsonl"):
        number = path.stem.removeprefix("update-")
        if number.isdecimal() and int(number) > position.update:
            path.unlink()
    if position.best_update >= 0 and not _best(run, position.best_update).is_dir():
        best = _best(run, position.best_update)
        print(f"warning: {best} is gone: the next evaluation decides anew.", file=sys.stderr)
        position.best_score = -1.0


def _best(run: Path, update: int) -> Path:
    return run / "best" / f"{update:06d}"

"""Checkpoints of a run: written aside, synced and renamed, so a kill at any moment leaves the last.

A checkpoint folder holds `weights.safetensors` (the trained parameters), `optimizer.safetensors`
and `state.json` (update, best score, random states, settings); nothing is pickled. Draws and
episodes of an update are functions of (seed, update), so the update is the sampler's position.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agents.learn.distributed import split_like, whole
from finemem_env.backends.options import read_options
from finemem_env.errors import ConfigError, DataError, FineMemError
from finemem_env.fields import read_object

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_PARTS = ("settings", "position", "optimizer", "random")  # of the state
KEPT = 2  # newest checkpoints
_GO_ON = "go on with --resume; earlier checkpoints are intact."


@dataclass(slots=True)
class Position:
    """Where a run stands: updates done, the best evaluation so far, and that of the latest one."""

    update: int = 0
    best_score: float = -1.0
    best_update: int = -1
    evaluated: int = -1


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training changes, by name, on the CPU; every process must ask."""
    return {
        name: whole(parameter.detach()).cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def save(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    position: Position,
    settings: Mapping[str, Any],
    *,
    write: bool = True,
) -> Path:
    """Write the checkpoint of `position` into `folder` and drop all but the newest two.

    Args:
        folder: of the checkpoints.
        model: the model; every process calls this, since weights may be split over them.
        optimizer: its optimizer.
        position: where the run stands.
        settings: that a resumed run must not change, JSON-able.
        write: False in the processes that only hand over their shards.

    Raises:
        ConfigError: the disk is full or not writable; earlier checkpoints are intact.
    """
    target = folder / f"{position.update:06d}"
    weights = trained(model)
    tensors, scalars = _flat_state(optimizer)
    if not write:
        return target
    state = {
        "position": asdict(position),
        "settings": dict(settings),
        "optimizer": scalars,
        "random": _random_states(),
    }

    def fill(aside: Path) -> None:
        save_file(weights, aside / WEIGHTS)
        save_file(tensors, aside / OPTIMIZER)
        (aside / STATE).write_text(json.dumps(state))

    put_folder(target, fill, _GO_ON)
    prune(folder, KEPT)
    return target


def prune(folder: Path, kept: int) -> None:
    """Drop all but the newest `kept` checkpoints of a folder."""
    for old in complete(folder)[:-kept]:
        shutil.rmtree(old, ignore_errors=True)


def save_weights(target: Path, model: nn.Module, record: Mapping[str, Any]) -> None:
    """Write the trained parameters alone, with a record of what they are (`state.json`).

    Raises:
        ConfigError: the disk is full or not writable.
    """

    def write(aside: Path) -> None:
        save_file(trained(model), aside / WEIGHTS)
        (aside / STATE).write_text(json.dumps(dict(record)))

    put_folder(target, write, _GO_ON)


def complete(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder, the oldest first."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name))


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint."""
    return next(reversed(complete(folder)), None)


def load(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Position:
    """Restore weights, optimizer and random states.

    Args:
        path: of the checkpoint.
        model: gets the weights.
        optimizer: gets its state.
        settings: as of `save`.
        defaults: of these settings: what holds of one that is newer than the checkpoint.

    Raises:
        ConfigError: a checkpoint of other settings, or of another model.
        DataError: a file of it that is not there or damaged.
    """
    state = read_object(path / STATE)
    parts = {name: state.child(name).mapping_of_all() for name in _PARTS}
    stored, wanted = json.loads(json.dumps([{**defaults, **parts["settings"]}, settings]))
    if other := [key for key in stored | wanted if stored.get(key) != wanted.get(key)]:
        raise ConfigError(
            f"{path}: this run was started with other settings ({', '.join(other)}; see "
            "config.json beside it). Resume with the same ones, or choose another output folder."
        )
    load_weights(path, model)
    with _undamaged(path):
        _restore(optimizer, _tensors(path / OPTIMIZER), parts["optimizer"])
        _set_random_states(parts["random"])
    position = read_options(Position, parts["position"], state.where)
    with _undamaged(path):
        if not (0 <= position.update < 2**31 and math.isfinite(position.best_score)):
            raise ValueError(f"update {position.update}, best score {position.best_score}")
    return position


@contextlib.contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """What comes of a state that is not as it was written, in one line."""
    try:
        yield
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, FineMemError):
            raise
        raise DataError(
            f"{path}: its state is damaged ({' '.join(str(error).split())[:200]}). Delete this "
            "checkpoint: the one before it is used then."
        ) from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path}: expected tensors, found: {error}. Delete this checkpoint: the one before it "
            "is used then."
        ) from error


def load_weights(path: Path, model: nn.Module) -> None:
    """Overwrite the parameters of `model` with the stored ones.

    Raises:
        ConfigError: the names or sizes differ from those that the model trains.
        DataError: the file is not there or damaged.
    """
    stored = _tensors(path / WEIGHTS)
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if stored.keys() != own.keys():
        missing = sorted(stored.keys() ^ own.keys())[:3]
        raise ConfigError(f"{path}: parameters of another model, e.g. {missing}.")
    if other := [name for name in own if stored[name].shape != own[name].shape]:
        raise ConfigError(
            f"{path}: parameters of a model of another size, e.g. {other[0]}: "
            f"{list(stored[other[0]].shape)} here, {list(own[other[0]].shape)} in the model."
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(split_like(stored[name], parameter))


def put_folder(target: Path, write: Callable[[Path], None], remedy: str) -> None:
    """Let `write` fill a folder aside, sync it, and put it in the place of `target`.

    Raises:
        ConfigError: the disk is full or not writable; it ends with `remedy`.
    """
    aside = target.with_name(f".{target.name}.writing")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        write(aside)
        for path in aside.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        old = target.with_name(f".{target.name}.old")
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        aside.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except Exception as error:  # safetensors raises its own type for a full disk
        shutil.rmtree(aside, ignore_errors=True)
        cause = error.__cause__ if isinstance(error, ConfigError) and error.__cause__ else error
        raise ConfigError(
            f"{target}: could not be written ({cause}). Free some space and {remedy}"
        ) from error


def _flat_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's tensors by "parameter.name", and its learning rates."""
    state = optimizer.state_dict()
    tensors = {
        f"{number}.{name}": whole(torch.as_tensor(value).detach()).cpu().contiguous()
        for number, values in state["state"].items()
        for name, value in values.items()
    }
    return tensors, {"lr": [group["lr"] for group in state["param_groups"]]}


def _restore(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]
) -> None:
    state = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        if tensor.dim() and tensor.shape != parameter.shape:  # a count of steps has no dimension
            raise ValueError(f"{key}: {list(tensor.shape)} for {list(parameter.shape)}")
        values.setdefault(int(number), {})[name] = split_like(tensor, parameter)
    for group, lr in zip(state["param_groups"], scalars["lr"], strict=True):
        group["lr"] = lr
    optimizer.load_state_dict({"state": values, "param_groups": state["param_groups"]})


def _random_states() -> dict[str, Any]:
    """States of every generator, as JSON."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in devices],
    }


def _set_random_states(states: Mapping[str, Any]) -> None:
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(
            [torch.tensor(state, dtype=torch.uint8) for state in states["cuda"]]
        )

"""What is taken from a checkpoint of stable-baselines3: tensors and counts, nothing that is code.

The library's own `load` unpickles objects, which runs whatever the writer of the file put there.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

from finemem_env.errors import DataError
from finemem_env.extras import load

_POLICY, _OPTIMIZER, _DATA = "policy.pth", "policy.optimizer.pth", "data"
# Where training stands, as the library names it; plain numbers in the archive.
_COUNTS = ("num_timesteps", "_n_updates", "_n_calls", "_episode_num")


def restore_policy(model: Any, path: Path) -> None:  # noqa: ANN401
    """Put the weights of a checkpoint into the policy of `model`.

    Raises:
        DataError: no such checkpoint, one of another model, or one that holds more than tensors.
    """
    _load(path, {_POLICY: model.policy})


def restore(model: Any, path: Path) -> None:  # noqa: ANN401
    """The same with the optimizer and the counts of training, so that it goes on."""
    _load(path, {_POLICY: model.policy, _OPTIMIZER: model.policy.optimizer})
    with zipfile.ZipFile(path) as archive:
        stored = json.loads(archive.read(_DATA))
    for name in _COUNTS:
        value = stored.get(name)
        if isinstance(value, int) and hasattr(model, name):
            setattr(model, name, value)


def _load(path: Path, parts: dict[str, Any]) -> None:
    torch = load("torch", "baselines.sb3", "sb3")
    try:
        with zipfile.ZipFile(path) as archive:
            for name, part in parts.items():
                with archive.open(name) as file:
                    part.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: expected a checkpoint of this model that holds tensors alone: {reason}"
        ) from error

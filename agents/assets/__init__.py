"""What comes with the package: the small model with its record, and configs for accelerate."""

from __future__ import annotations

from pathlib import Path

from finemem_env.errors import ConfigError, nearest

__all__ = ["accelerate_config", "tiny_folder"]

_HERE = Path(__file__).resolve().parent


def tiny_folder() -> Path:
    """The transformers folder of the warm-started model."""
    return _HERE / "tiny"


def accelerate_config(name: str) -> Path:
    """The file for `accelerate launch --config_file`: "ddp" or "fsdp2".

    Raises:
        ConfigError: no such file (with the nearest).
    """
    configs = {path.stem: path for path in (_HERE / "accelerate").glob("*.yaml")}
    if name not in configs:
        raise ConfigError(nearest("accelerate config", name, sorted(configs)))
    return configs[name]

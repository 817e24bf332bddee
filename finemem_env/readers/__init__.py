"""Reading agents by name: they answer questions from the texts that retrieval shows them."""

from __future__ import annotations

from collections.abc import Mapping

from finemem_env.backends.registry import BACKENDS
from finemem_env.errors import ConfigError, nearest
from finemem_env.readers.local import LocalReader
from finemem_env.types import Reader

__all__ = ["READERS", "LocalReader", "make_reader"]

READERS: dict[str, str] = {
    "local": "reads by word overlap: no model, deterministic, microseconds an answer",
    **{name: spec.description for name, spec in BACKENDS.items()},
}


def make_reader(config: Mapping[str, object]) -> Reader:
    """The reader that `config` names: {"name": "local"}, or a backend's name and its options.

    Raises:
        ConfigError: unknown name or option (with the nearest one), or a model that cannot be used.
    """
    name = config.get("name")
    if name not in READERS:
        raise ConfigError(nearest("reader", name, READERS))
    if name == "local":
        if len(config) > 1:
            raise ConfigError(f"reader 'local' has no options, got {sorted(config)}.")
        return LocalReader()
    from finemem_env.readers.models import make_model_reader  # only where a model is asked for

    return make_model_reader(config)

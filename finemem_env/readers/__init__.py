"""Reading agents by name: they answer questions from the texts that retrieval shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from finemem_env.backends.registry import BACKENDS
from finemem_env.errors import ConfigError
from finemem_env.readers.local import LocalReader
from finemem_env.registry import Registry, is_reference, load_reference
from finemem_env.types import Reader

__all__ = ["READERS", "LocalReader", "ReaderSpec", "check_reader", "make_reader"]


@dataclass(frozen=True, slots=True)
class ReaderSpec:
    """A reader by name; `make` is called with the options as keywords."""

    description: str
    make: Callable[..., Reader]


def make_reader(config: Mapping[str, object]) -> Reader:
    """The reader that `config` names: {"name": "local"}, a backend's name and its options.

    A registered name or "module:Class" works as well; the options are its keywords.

    Raises:
        ConfigError: unknown name or option (with the nearest one), or a model that cannot be used.
    """
    name = config.get("name")
    options = {key: value for key, value in config.items() if key != "name"}
    own = load_reference("reader", str(name)) if is_reference(name) else None
    make = own or READERS.find(name).make
    try:
        return check_reader(make(**options))
    except TypeError as error:
        raise ConfigError(f"reader {name!r} with options {options}: {error}.") from error


def check_reader(reader: object) -> Reader:
    """`reader` itself, if it is one.

    Raises:
        ConfigError: it lacks `version` (a string) or `answer(requests)`.
    """
    version = getattr(reader, "version", None)
    if not isinstance(version, str) or not callable(getattr(reader, "answer", None)):
        raise ConfigError(
            "reader: expected a name, a mapping, or an object with `version` (a string that pins "
            f"its behaviour) and `answer(requests)`, got {type(reader).__name__} with version "
            f"{version!r}."
        )
    return reader  # type: ignore[return-value]


def _make_local(**options: object) -> Reader:
    if options:
        raise ConfigError(f"reader 'local' has no options, got {sorted(options)}.")
    return LocalReader()


def _make_model(backend: str, **options: object) -> Reader:
    from finemem_env.readers.models import make_model_reader  # only where a model is asked for

    return make_model_reader({"name": backend, **options})


READERS: Registry[ReaderSpec] = Registry(
    "reader",
    {
        "local": ReaderSpec(
            "reads by word overlap: no model, deterministic, microseconds an answer", _make_local
        ),
        **{
            name: ReaderSpec(backend.description, partial(_make_model, name))
            for name, backend in BACKENDS.items()
        },
    },
)

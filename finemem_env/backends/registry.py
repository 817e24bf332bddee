"""Backends by name, options checked before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finemem_env.backends.base import Backend
from finemem_env.backends.options import read_options
from finemem_env.errors import ConfigError, nearest
from finemem_env.registry import load_reference


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """One line of the registry; `config` and `factory` are "module:name", imported when asked for.

    `shared`: the backend holds a model in this process, so equal configs get one instance.
    """

    description: str
    config: str
    factory: str
    shared: bool


_HERE = "finemem_env.backends"
BACKENDS: dict[str, BackendSpec] = {
    "openai": BackendSpec(
        "any OpenAI-compatible endpoint: vLLM, llama.cpp, Ollama, a hosted service",
        f"{_HERE}.endpoint:EndpointConfig",
        f"{_HERE}.endpoint:Endpoint",
        shared=False,
    ),
    "transformers": BackendSpec(
        "a transformers model in this process, from a folder or the hub",
        f"{_HERE}.hf:HFConfig",
        f"{_HERE}.hf:load_backend",
        shared=True,
    ),
    "vllm": BackendSpec(
        "a model in this process through vLLM",
        f"{_HERE}.vllm:VLLMConfig",
        f"{_HERE}.vllm:load_backend",
        shared=True,
    ),
}

_LIVE: weakref.WeakValueDictionary[object, Any] = weakref.WeakValueDictionary()


def backend_options(name: str) -> tuple[str, ...]:
    """Names of the options of a backend.

    Raises:
        ConfigError: there is no such backend.
    """
    return tuple(
        field.name for field in dataclasses.fields(load_reference("backend", _spec(name).config))
    )


def make_backend(config: Mapping[str, object]) -> Backend:
    """The backend that `config` describes: {"name": "openai", "model": …, option: …}.

    Environments that ask for the same model in this process share it while any of them lives.

    Raises:
        ConfigError: an unknown name or option (with the nearest match), a wrong type, a package
            that is not installed, or a model that cannot be loaded.
    """
    name = config.get("name")
    spec = _spec(name)
    values = {key: value for key, value in config.items() if key != "name"}
    options = read_options(load_reference("backend", spec.config), values, f"backend {name!r}")
    factory = load_reference("backend", spec.factory)
    if not spec.shared:
        made: Backend = factory(options)
        return made
    key = (name, options)
    if key not in _LIVE:
        backend = factory(options)
        _LIVE[key] = backend
        return backend  # type: ignore[no-any-return]
    return _LIVE[key]  # type: ignore[no-any-return]


def _spec(name: object) -> BackendSpec:
    if not isinstance(name, str) or name not in BACKENDS:
        raise ConfigError(nearest("backend", name, BACKENDS))
    return BACKENDS[name]

"""`finemem_env.register(kind, name, value)`: give your own parts a name that works everywhere.

A registered name works in `gym.make`, on every command line, in `python -m finemem_env list` and in
"did you mean". Register in a module of yours and import it first; `gym.make("your_module:ID")` and
`--env your_module:ID` import it for you. Docs: docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from finemem_env.data.registry import SOURCES, source_spec
from finemem_env.errors import ConfigError, nearest
from finemem_env.readers import READERS, ReaderSpec
from finemem_env.registry import Registry
from finemem_env.retrieval import RETRIEVERS, RetrieverSpec
from finemem_env.rewards import ATTRIBUTIONS, REWARDS, Attribution, RewardSettings
from finemem_env.scoring import METRICS, Metric
from finemem_env.settings import MANAGED, PROTOCOLS, SETTINGS


def register(
    kind: str,
    name: str,
    value: Any,  # noqa: ANN401 - each kind has its own
    *,
    description: str = "",
    **fields: Any,  # noqa: ANN401
) -> None:
    """Give a part of your own a name.

    Args:
        kind: what `value` is:
            "source": a subclass of `finemem_env.data.source.BaseSource`;
            "metric": `compare(prediction, question) -> float` in [0, 1];
            "reader": a class or function that returns a `Reader`, called with its options;
            "retriever": the same for a `Retriever`, called once for each memory;
            "attribution": `portions(final) -> [(part, steps), …]`, or a `rewards.Attribution`;
            "reward": a `rewards.RewardSettings`, or a mapping of its fields;
            "protocol": a mapping of settings; those left out are as in `managed`.
        name: new, without spaces, slashes and colons.
        value: see `kind`.
        description: one line for `python -m finemem_env list`; by default of the docstring.
        **fields: for a source, further fields of its `SourceSpec`, such as `competency`.

    Raises:
        ConfigError: an unknown kind, a name that is taken, or a value of another kind.
    """
    if kind not in _KINDS:
        raise ConfigError(nearest("kind", kind, _KINDS))
    if fields and kind != "source":
        raise ConfigError(f"register({kind!r}, …): unexpected {sorted(fields)}.")
    registry, make = _KINDS[kind]
    text = description or (getattr(value, "__doc__", None) or "registered").strip().split("\n")[0]
    registry.register(name, make(name, value, text, fields))


def unregister(kind: str, name: str) -> None:
    """Take a registered name back.

    Raises:
        ConfigError: an unknown kind or name.
    """
    if kind not in _KINDS:
        raise ConfigError(nearest("kind", kind, _KINDS))
    registry = _KINDS[kind][0]
    registry.unregister(registry.spelling(name))


_Make = Callable[[str, Any, str, Mapping[str, Any]], Any]


def _called(kind: str, spec: Callable[[str, Any], object]) -> _Make:
    """Makes `spec(description, value)` of a class or function."""

    def make(name: str, value: Any, text: str, _: Mapping[str, Any]) -> object:  # noqa: ANN401
        if not callable(value):
            raise ConfigError(f"{kind} {name!r}: expected a class or function, got {value!r}.")
        return spec(text, value)

    return make


def _source(name: str, value: Any, text: str, fields: Mapping[str, Any]) -> object:  # noqa: ANN401
    return source_spec(name, value, **({"description": text} | dict(fields)))


def _attribution(name: str, value: Any, text: str, more: Mapping[str, Any]) -> object:  # noqa: ANN401
    if isinstance(value, Attribution):
        return value
    return _called("attribution", Attribution)(name, value, text, more)


def _reward(name: str, value: Any, _text: str, _: Mapping[str, Any]) -> object:  # noqa: ANN401
    if isinstance(value, RewardSettings):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"reward {name!r}: expected RewardSettings or its fields, got {value!r}.")
    try:
        return RewardSettings(name, **value)
    except TypeError as error:
        raise ConfigError(f"reward {name!r}: {error}.") from error


def _protocol(name: str, value: Any, _text: str, _: Mapping[str, Any]) -> object:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise ConfigError(f"protocol {name!r}: expected a mapping of settings, got {value!r}.")
    for key, setting in value.items():
        if key not in MANAGED:
            raise ConfigError(nearest(f"setting of protocol {name!r}", key, MANAGED))
        SETTINGS[key].check(key, setting)
    return {**MANAGED, **value}


_KINDS: dict[str, tuple[Registry[Any], _Make]] = {
    "source": (SOURCES, _source),
    "metric": (METRICS, _called("metric", Metric)),
    "reader": (READERS, _called("reader", ReaderSpec)),
    "retriever": (RETRIEVERS, _called("retriever", RetrieverSpec)),
    "attribution": (ATTRIBUTIONS, _attribution),
    "reward": (REWARDS, _reward),
    "protocol": (PROTOCOLS, _protocol),
}

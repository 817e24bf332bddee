"""Every data source by name, and the one function that turns what a user typed into a source.

A source is named ("squad", "synthetic"), mixed ({"squad": 1, "banking77": 2}) or a path to an
episode file. Adapters are imported when they are asked for, so listing them costs nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from finemem_env.data.catalogue import SOURCES
from finemem_env.data.combined import FileSource, MixtureSource
from finemem_env.data.source import BaseSource, Source, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError, nearest
from finemem_env.registry import fold, is_reference, load_reference
from finemem_env.types import Competency

__all__ = [
    "SOURCES",
    "SYNTHETIC",
    "SourceSpec",
    "has_media",
    "left_out",
    "load_source",
    "source_spec",
]

# The generator of each competency: what the name "synthetic" stands for.
SYNTHETIC: dict[Competency, str] = {
    "AR": "synthetic_ar",
    "TTL": "synthetic_ttl",
    "LRU": "synthetic_lru",
    "CR": "synthetic_cr",
}


def load_source(
    source: str | Mapping[str, float],
    config: SourceConfig | None = None,
    competency: Competency | None = None,
) -> Source:
    """The source that `source` names, checked against the environment's competency.

    Args:
        source: a name of `SOURCES` or "synthetic" (ignoring case, "-" and "_"), a path to an
            episode file, "module:Class" of a `BaseSource`, or a mapping from such to weights.
        config: split, folder and packing; the defaults when None.
        competency: the environment's, None for the mixture, which takes any.

    Raises:
        ConfigError: an unknown name (with the nearest), a bad weight or knob, or a source of
            another competency (with the environment to use).
        DataError: files that are missing or malformed.
    """
    config = config or SourceConfig()
    if isinstance(source, Mapping):
        loaded = _mixture(source, config, competency)
    elif isinstance(source, str):
        loaded = _single(source, config, competency)
    else:
        raise ConfigError(
            f"source: expected a name, a path or a mapping of weights, got {source!r}."
        )
    _check_competency(loaded.name, loaded.competencies, competency)
    return loaded


def left_out(source: object) -> tuple[str, ...]:
    """The flawed records that a source, or the parts of a mixture, left out, one line each."""
    if isinstance(source, MixtureSource):
        return tuple(flaw for part in source.parts for flaw in left_out(part))
    return source.left_out if isinstance(source, BaseSource | FileSource) else ()


def has_media(source: object) -> bool:
    """Whether chunks of a source, or of a part of a mixture, may carry pictures or sounds."""
    if isinstance(source, MixtureSource):
        return any(map(has_media, source.parts))
    return bool(getattr(source, "has_media", False))


def _single(source: str, config: SourceConfig, competency: Competency | None) -> Source:
    name = fold(source)
    if name == "synthetic":
        if competency is None:
            return _mixture(dict.fromkeys(SYNTHETIC.values(), 1.0), config, None)
        if competency not in get_args(Competency):
            raise ConfigError(nearest("competency", competency, get_args(Competency)))
        name = fold(SYNTHETIC[competency])
    for spec in SOURCES.values():
        if fold(spec.name) == name:
            return _build(spec, config, competency)
    if is_reference(source):
        return _build(source_spec(source, source), config, competency)
    if Path(source).is_file():
        return FileSource(Path(source), config)
    if source.endswith((".jsonl", ".jsonl.gz")) or "/" in source:
        raise ConfigError(f"source: no episode file at {str(Path(source).absolute())!r}.")
    raise ConfigError(
        f"{nearest('source', source, [*SOURCES, 'synthetic'])} Any other data becomes an episode "
        "file with `python -m finemem_env convert`: docs/own-data.md."
    )


def source_spec(name: str, factory: object, **fields: Any) -> SourceSpec:  # noqa: ANN401
    """The record of a source that a user brings.

    Args:
        name: under which it is listed; part of its episodes' ids.
        factory: a subclass of `BaseSource`, or "module:Class" of one.
        **fields: of `SourceSpec`; without `competency` that of the class attribute of this name.

    Raises:
        ConfigError: `factory` is neither.
    """
    made = load_reference("source", factory) if isinstance(factory, str) else factory
    if not (isinstance(made, type) and issubclass(made, BaseSource)):
        raise ConfigError(f"source {name!r}: expected a subclass of BaseSource, got {made!r}.")
    first = (made.__doc__ or "no description").strip().splitlines()[0]
    known: dict[str, Any] = {
        "competency": getattr(made, "competency", None),
        "description": first,
        "licence": "not stated",
    }
    return SourceSpec(name=name, factory=made, **(known | fields))


def _factory(spec: SourceSpec) -> type[BaseSource]:
    made = spec.factory
    loaded = load_reference("source", made) if isinstance(made, str) else made
    return cast("type[BaseSource]", loaded)


def _build(spec: SourceSpec, config: SourceConfig, competency: Competency | None) -> Source:
    if spec.competency is not None:
        _check_competency(spec.name, frozenset({spec.competency}), competency)
    return _factory(spec)(spec, dataclasses.replace(config, competency=competency))


def _mixture(
    weights: Mapping[str, float], config: SourceConfig, competency: Competency | None
) -> Source:
    """Each component gets the knobs that it knows; a knob that none knows is an error."""
    if not weights:
        raise ConfigError("source: expected at least one source in the mixture, got {}.")
    for name, weight in weights.items():
        numeric = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not numeric or not math.isfinite(weight) or weight <= 0:
            raise ConfigError(f"source[{name!r}]: expected a weight > 0, got {weight!r}.")
    known = {name: _knobs(name, competency) for name in weights}
    every = {knob for knobs in known.values() for knob in knobs}
    for knob in config.difficulty:
        if knob not in every:
            raise ConfigError(nearest("difficulty knob of the mixture", knob, every))
    parts: list[tuple[Source, float]] = []
    for name, weight in weights.items():
        chosen = {knob: value for knob, value in config.difficulty.items() if knob in known[name]}
        part = load_source(name, dataclasses.replace(config, difficulty=chosen), competency)
        parts.append((part, float(weight)))
    return MixtureSource(parts, config.split)


def _knobs(name: str, competency: Competency | None) -> set[str]:
    folded = fold(str(name))
    names = [fold(SYNTHETIC[key]) for key in SYNTHETIC if competency in (None, key)]
    wanted = names if folded == "synthetic" else [folded]
    specs = [spec for spec in SOURCES.values() if fold(spec.name) in wanted]
    if is_reference(name):
        specs = [source_spec(name, name)]
    return {knob for spec in specs for knob in _factory(spec).knobs}


def _check_competency(
    name: str, held: frozenset[Competency], competency: Competency | None
) -> None:
    if competency is None or held == {competency}:
        return
    env = f"FineMem-{min(held)}-v0" if len(held) == 1 else "FineMem-Mix-v0"
    raise ConfigError(
        f"source {name!r} holds {', '.join(sorted(held))} episodes, not {competency}: use {env}."
    )

"""Which settings in a stranger's file reach further than text: code, files, servers, downloads."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from finemem_env.data.registry import SOURCES, SYNTHETIC
from finemem_env.errors import ConfigError
from finemem_env.locate import ENVIRONMENTS

TRUST = "--trust-settings"

_LOCAL: dict[str, tuple[object, ...]] = {
    "reader": ("local", {"name": "local"}),
    "judge": (None,),
    "tokenizer": ("approx",),
    "data_dir": (None,),
}
_SOURCES = {*SOURCES, "synthetic", *SYNTHETIC.values()}
_KNOBS = ("hub", "path", "exclude")  # of sources: a data set to download, files to open


def reaching(env: Mapping[str, Any]) -> list[str]:
    """Names and values of what an environment's description would import, open, call or load.

    Args:
        env: `id` and keywords of `gym.make`, as a trace has them, or those of them that are given.
    """
    ours = "id" not in env or str(env["id"]) in ENVIRONMENTS
    reached = {} if ours else {"id": env["id"]}
    for name, local in _LOCAL.items():
        if name in env and env[name] not in local:
            reached[name] = env[name]
    source = env.get("source", "synthetic")
    names = source if isinstance(source, Mapping) else [str(source)]
    if not set(names) <= _SOURCES:
        reached["source"] = source
    retriever = env.get("retriever")
    if retriever is not None and not _plain_bm25(retriever):
        reached["retriever"] = retriever
    if isinstance(env.get("exclude"), str):  # a file; a list of ids opens nothing
        reached["exclude"] = env["exclude"]
    difficulty = env.get("difficulty")
    knobs = difficulty if isinstance(difficulty, Mapping) else {}
    reached |= {
        f"difficulty {name}": value
        for name, value in knobs.items()
        if value and (name in _KNOBS or (isinstance(value, str) and "/" in value))
    }
    return [f"{name} {value!r}" for name, value in reached.items()]


def refuse(what: str, named: Iterable[str]) -> None:
    """Stop where `what`, a file of somebody else, names something that would be reached.

    Raises:
        ConfigError: there is such a name.
    """
    names = list(dict.fromkeys(named))
    if names:
        raise ConfigError(
            f"{what} names {', '.join(names)}: it would be opened, called or loaded here. Read it, "
            f"then add {TRUST}."
        )


def refuse_envs(what: str, envs: Iterable[Mapping[str, Any]]) -> None:
    """The same for descriptions of environments in that file."""
    refuse(what, (name for env in envs for name in reaching(env)))


def add_trust(parser: argparse.ArgumentParser) -> None:
    """`--trust-settings`."""
    parser.add_argument(
        TRUST,
        action="store_true",
        help="open, call and load what the settings found there name",
    )


def _plain_bm25(retriever: object) -> bool:
    """Whether a retriever is ours and without a model: nothing is imported or loaded for it."""
    config = {"name": retriever} if isinstance(retriever, str) else retriever
    return isinstance(config, Mapping) and config.get("name") == "bm25" and "model" not in config

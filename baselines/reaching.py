"""Which settings in a stranger's file reach further than text: code, files, servers, downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finemem_env.data.registry import SOURCES, SYNTHETIC
from finemem_env.locate import ENVIRONMENTS

__all__ = ["reaching"]

_LOCAL: dict[str, tuple[object, ...]] = {
    "reader": ("local", {"name": "local"}),
    "judge": (None,),
    "tokenizer": ("approx",),
    "data_dir": (None,),
}
_SOURCES = {*SOURCES, "synthetic", *SYNTHETIC.values()}
_KNOBS = ("hub", "path")  # of sources: a data set to download, a file to open


def reaching(env: Mapping[str, Any]) -> list[str]:
    """Names and values of what an environment's description would import, open, call or load.

    Args:
        env: `id` and keywords of `gym.make`, as a trace has them.
    """
    reached = {} if env.get("id") in ENVIRONMENTS else {"id": env.get("id")}
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
    difficulty = env.get("difficulty")
    knobs = difficulty if isinstance(difficulty, Mapping) else {}
    reached |= {f"difficulty {name}": knobs[name] for name in _KNOBS if knobs.get(name)}
    return [f"{name} {value!r}" for name, value in reached.items()]


def _plain_bm25(retriever: object) -> bool:
    """Whether a retriever is ours and without a model: nothing is imported or loaded for it."""
    config = {"name": retriever} if isinstance(retriever, str) else retriever
    return isinstance(config, Mapping) and config.get("name") == "bm25" and "model" not in config

"""`python -m finemem_env list`: everything that has a name, one line each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from finemem_env.cli.frame import program
from finemem_env.data.registry import SOURCES
from finemem_env.locate import ENVIRONMENTS
from finemem_env.readers import READERS
from finemem_env.registration import env_class
from finemem_env.retrieval import RETRIEVERS
from finemem_env.rewards import ATTRIBUTIONS, REWARDS, RewardSettings
from finemem_env.scoring import METRICS
from finemem_env.settings import PROTOCOLS, SETTINGS, markdown

Rows = Iterable[tuple[str, str]]


def main(arguments: Sequence[str]) -> int:
    """Print the registries."""
    parser = program("finemem_env list", __doc__)
    add = parser.add_argument
    add("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} (default: all)")
    add("--markdown", action="store_true", help="the settings as the table of the documentation")
    options = parser.parse_args(arguments)
    if options.markdown:
        sys.stdout.write(markdown())
        return 0
    for kind in options.kinds:
        if kind not in KINDS:
            parser.error(f"unknown kind {kind!r}: choose from {', '.join(KINDS)}")
    for kind in options.kinds or KINDS:
        _print(kind, KINDS[kind]())
    return 0


def _print(title: str, rows: Rows) -> None:
    print(title)
    for name, text in rows:
        print(f"  {name:22} {text}")
    print()


def _environments() -> Rows:
    for name in ENVIRONMENTS:
        yield name, (env_class(name).__doc__ or "").strip().splitlines()[0]


def _sources() -> Rows:
    for spec in SOURCES.values():
        yield spec.name, f"{spec.competency or 'all':4} {spec.description} [{spec.licence}]"


def _protocols() -> Rows:
    shown = ("reward", "memory_budget", "top_k", "bm25", "chunk_question_scope")
    for name, bundle in PROTOCOLS.items():
        yield name, ", ".join(f"{key} {bundle[key]}" for key in (*shown, "compression_scale"))


def _rewards() -> Rows:
    for name, preset in REWARDS.items():
        yield name, _reward(preset)


def _reward(preset: RewardSettings) -> str:
    weights = preset.weights
    form = "broadcast" if preset.broadcast else f"{preset.attribution}, beta {preset.beta:g}"
    return (
        f"{form}, format {weights.format:g}, chunk_qa {weights.chunk_qa:g}, "
        f"compression {weights.compression:g}, content {weights.content:g}"
    )


class _Described(Protocol):
    @property
    def description(self) -> str: ...


def _settings() -> Rows:
    for setting in SETTINGS.values():
        yield setting.name, setting.help


def _described(registry: Mapping[str, _Described]) -> Callable[[], Rows]:
    return lambda: ((name, entry.description) for name, entry in registry.items())


KINDS: dict[str, Callable[[], Rows]] = {
    "environments": _environments,
    "sources": _sources,
    "protocols": _protocols,
    "rewards": _rewards,
    "attributions": _described(ATTRIBUTIONS),
    "readers": _described(READERS),
    "retrievers": _described(RETRIEVERS),
    "metrics": _described(METRICS),
    "settings": _settings,
}

"""`python -m finemem_env list`: everything that has a name, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finemem_env.cli.frame import program
from finemem_env.data.registry import SOURCES
from finemem_env.locate import ENVIRONMENTS
from finemem_env.readers import READERS
from finemem_env.registration import env_class
from finemem_env.rewards import REWARDS, RewardSettings
from finemem_env.scoring import METRICS
from finemem_env.settings import PROTOCOLS

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Print the registries."""
    program("finemem_env list", __doc__).parse_args(arguments)
    for title, rows in (
        ("environments", ((name, _first_line(name)) for name in ENVIRONMENTS)),
        (
            "sources",
            (
                (spec.name, f"{spec.competency or 'all':4} {spec.description} [{spec.licence}]")
                for spec in SOURCES.values()
            ),
        ),
        ("protocols", ((name, _protocol(bundle)) for name, bundle in PROTOCOLS.items())),
        ("rewards", ((name, _reward(preset)) for name, preset in REWARDS.items())),
        ("readers", READERS.items()),
        ("metrics", METRICS.items()),
    ):
        _print(title, rows)
    return 0


def _print(title: str, rows: Iterable[tuple[str, str]]) -> None:
    print(title)
    for name, text in rows:
        print(f"  {name:22} {text}")
    print()


def _first_line(env_id: str) -> str:
    return (env_class(env_id).__doc__ or "").strip().splitlines()[0]


def _protocol(bundle: dict[str, object]) -> str:
    shown = (
        "reward",
        "memory_budget",
        "top_k",
        "bm25",
        "chunk_question_scope",
        "compression_scale",
    )
    return ", ".join(f"{key} {bundle[key]}" for key in shown)


def _reward(preset: RewardSettings) -> str:
    weights = preset.weights
    form = "broadcast" if preset.broadcast else f"{preset.attribution}, beta {preset.beta:g}"
    return (
        f"{form}, format {weights.format:g}, chunk_qa {weights.chunk_qa:g}, "
        f"compression {weights.compression:g}, content {weights.content:g}"
    )

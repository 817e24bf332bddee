"""Which parts of a source only a judge can grade: a missing one is an error at the start."""

from __future__ import annotations

from collections.abc import Iterator

from finemem_env.data.combined import FileSource, MixtureSource
from finemem_env.data.published.dialects import (
    PublishedSource,
    data_source_of,
    in_dialect,
    judged_under,
    plain_name,
)
from finemem_env.data.source import BaseSource
from finemem_env.scoring import is_judged
from finemem_env.types import Episode


def judged_parts(source: object, dialect: str) -> list[str]:
    """The sub-datasets of a source, or of a mixture's parts, that need a judge under a dialect."""
    if isinstance(source, MixtureSource):
        return sorted({name for part in source.parts for name in judged_parts(part, dialect)})
    if isinstance(source, FileSource):
        return sorted({plain_name(name) for name in _in_file(source, dialect)})
    if isinstance(source, BaseSource) and is_judged(str(source.difficulty.get("metric", ""))):
        return [source.name]
    if isinstance(source, PublishedSource):
        return [plain_name(name) for name in judged_under(source.data_sources, dialect)]
    return []


def _in_file(source: FileSource, dialect: str) -> Iterator[str]:
    for episode in source.episodes:
        if any(is_judged(metric) for metric in _metrics(in_dialect(episode, dialect, "own"))):
            yield data_source_of(episode)


def _metrics(episode: Episode) -> Iterator[str]:
    yield from (question.metric for question in episode.questions)
    yield from (question.metric for chunk in episode.chunks for question in chunk.questions)


def without_judge(source: object) -> str:
    """How to do without those parts, by the knobs that the source has: the end of a sentence."""
    if isinstance(source, MixtureSource):
        ends = sorted({end for part in source.parts if (end := without_judge(part))})
        return "".join(ends) or ", or leave that source out of the mixture"
    knobs = source.knobs if isinstance(source, BaseSource) else {}
    if "judged" in knobs and "data_source" in knobs:
        return (
            ", or leave these sub-datasets out with difficulty={'judged': False} or "
            "difficulty={'data_source': …}"
        )
    if "metric" in knobs:
        return ", or choose another metric with difficulty={'metric': 'f1'}"
    return ""

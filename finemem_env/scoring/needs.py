"""What a metric needs in a question's metadata beside the golds: a list under one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finemem_env.errors import DataError
from finemem_env.types import Question

_NEEDS = {
    "mab/summary_judge": ("keypoints", "the key points of the book"),
    "beam/nuggets": ("rubric", "the criteria of a good reply"),
}
_TITLES = ("titles", "the list of all titles")


def need_of(metric: str) -> tuple[str, str] | None:
    """(key, what it holds) of a metric, None where the golds suffice."""
    return _TITLES if "recall@" in metric else _NEEDS.get(metric)


def has_needed(question: Question) -> bool:
    """Whether the list is there that the question's metric needs, if it needs one."""
    need = need_of(question.metric)
    values = None if need is None else question.metadata.get(need[0])
    return need is None or (isinstance(values, list | tuple) and bool(values))


def needed(question: Question) -> Sequence[Any]:
    """The list that the question's metric needs.

    Raises:
        DataError: it is not there.
    """
    key, what = need_of(question.metric) or ("", "")
    if not has_needed(question):
        raise DataError(
            f"question {question.id!r}: metric {question.metric!r} needs {what} in its metadata, "
            f'{{"{key}": […]}}.'
        )
    values: Sequence[Any] = question.metadata[key]  # type: ignore[assignment]
    return values

"""What `info` says, and what of it an agent may know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from finemem_env.operations import render
from finemem_env.registration import make_env
from finemem_env.session import info as infos
from finemem_env.session import limits_of, public
from finemem_env.text import split_sentences
from finemem_env.types import Limits, Op, Operation

# Methods of dict, and of tianshou's Batch beside them.
METHODS = {name for name in dir(dict) if not name.startswith("_")} | {
    "cat", "cat_", "stack", "stack_", "split", "to_numpy", "to_torch", "empty", "empty_", "shape",
    "is_empty", "set_array_at_key", "isnull", "hasnull", "dropnull",
    "get_keys", "replace_empty_batches_by_none", "apply_values_transform", "to_list_of_dicts",
    "to_at_least_2d",
}  # fmt: skip


def _episode(**keywords: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    env = make_env("FineMem-AR-v0", num_chunks=3, **({"memory_budget": "unlimited"} | keywords))
    _, info = env.reset(seed=1)
    yield info
    for chunk in env.session.episode.chunks:
        texts = split_sentences(chunk.text)
        *_, info = env.step(render([Operation(Op.INSERT, content=text) for text in texts]))
        yield info


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _keys(inner)


def test_the_score_is_zero_until_it_is_known() -> None:
    *before, last = _episode()
    assert [info["score"] for info in before] == [0.0, 0.0, 0.0]
    scores = [answer["score"] for answer in last["answers"]]
    assert last["score"] == pytest.approx(sum(scores) / len(scores))
    assert last["score"] == last["reward_terms"]["global"] > 0


def test_no_key_hides_a_method_of_what_holds_it() -> None:
    found = {key for info in _episode() for key in _keys(info)}
    assert {"shown", "golds", "accepted"} <= found
    assert not found & METHODS


def test_an_agent_is_told_nothing_of_questions_and_scores() -> None:
    for info in _episode():
        told = public(info)
        assert set(told) == infos.PUBLIC - {"lines", "media"}  # of these keywords
        assert not {"golds", "prediction", "score", "format"} & (
            set(_keys({key: one for key, one in told.items() if key != "weights"}))
        )
    # What wrappers add is not for agents either: gymnasium's statistics hold the return.
    assert "episode" not in public({**info, "episode": {"r": 1.0}})


def test_limits_are_those_of_the_settings() -> None:
    first = next(_episode(max_item_tokens=7, max_operations="unlimited"))
    assert first["limits"] == {
        "max_item_tokens": 7,
        "max_operations": -1,
        "memory_budget": -1,
    }
    assert limits_of(first) == Limits(max_item_tokens=7)
    assert limits_of({}) == Limits()

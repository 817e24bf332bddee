"""A process that plays for days keeps nothing but caches, and every cache has a bound."""

from __future__ import annotations

import functools
import gc
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401
from finemem_env.scoring.alternatives import _TABLES, _Tables
from finemem_env.session import Session
from finemem_env.text import TextCache

_Cached = functools._lru_cache_wrapper


@pytest.fixture(autouse=True)
def all_objects() -> Iterator[None]:
    """`gc.get_objects` leaves out what was frozen."""
    gc.unfreeze()
    yield
    gc.freeze()


TINY: dict[str, Any] = {
    "num_chunks": 2,
    "memory_budget": "unlimited",
    "difficulty": {"facts_per_chunk": 1, "distractors_per_chunk": 1},
}


def clear(objects: Sequence[object]) -> None:
    """Empty every cache among these."""
    for one in objects:
        # By type: `isinstance` asks objects of other packages for their class, which some warn of.
        if type(one) is _Cached and "finemem_env" in one.__module__:
            one.cache_clear()
        if type(one) is TextCache:
            one.clear()
            one._chars = 0
    _TABLES.clear()


def left(play: Callable[[int], None], first: int, known: Sequence[object]) -> int:
    """Objects that are left of thirty episodes, beside those frozen; caches are emptied."""
    for seed in range(first, first + 30):
        play(seed)
    clear(known)
    clear(gc.get_objects())
    gc.collect()
    return len(gc.get_objects())


def keep(session: Session) -> str:
    """Keeps the chunk: questions that nobody can answer leave half of the code alone."""
    return json.dumps(
        [{"op": "INSERT", "content": session.episode.chunks[session.step_index].text}]
    )


def single(seed: int) -> None:
    env = ENV
    env.reset(seed=seed)
    for _ in range(2):
        env.step(keep(env.unwrapped.session))


def batched(seed: int) -> None:
    VECTOR.reset(seed=[seed, seed + 1000])
    for _ in range(2):
        VECTOR.step((keep(VECTOR.unwrapped.sessions[0]), "[]"))


ENV: Any = gym.make("FineMem-AR-v0", disable_env_checker=True, **TINY)
VECTOR: Any = gym.make_vec("FineMem-CR-v0", num_envs=2, **TINY)


@pytest.mark.parametrize("play", [single, batched])
def test_episodes_leave_nothing_behind(play: Callable[[int], None]) -> None:
    play(0)
    # Frozen, the objects of all packages are not looked at again.
    known = [one for one in gc.get_objects() if type(one) in (_Cached, TextCache)]
    gc.freeze()
    left(play, 0, known)
    before = left(play, 100, known)
    assert left(play, 200, known) - before < 30  # not one object an episode


def test_a_cache_of_texts_keeps_its_bound() -> None:
    cache: TextCache[str] = TextCache(str.upper, max_chars=5_000)
    for number in range(2_000):
        assert cache[f"text {number}"] == f"TEXT {number}"
        assert sum(len(text) for text in cache) <= 5_000
    assert len(cache) < 100


def test_a_cache_of_texts_grows_only_for_what_is_asked_for_again() -> None:
    derived: list[str] = []
    cache: TextCache[int] = TextCache(lambda text: derived.append(text) or len(text))  # type: ignore[func-returns-value]
    texts = [f"{number:06} {'x' * 1_000}" for number in range(1_500)]
    for text in texts:  # each once, as in one short episode after another
        assert cache[text] == cache[text] == 1_007
        assert sum(map(len, cache)) <= 250_000
    assert len(derived) == 1_500
    for _ in range(3):
        for text in texts:  # again and again, as in one long episode
            assert cache[text] == 1_007
    derived.clear()
    assert [cache[text] for text in texts] == [1_007] * 1_500
    assert derived == []


def test_bounds_are_small_enough_to_be_reached() -> None:
    single(0)
    assert _Tables._MOST <= 50_000
    for one in gc.get_objects():
        if type(one) is _Cached and "finemem_env" in one.__module__:
            assert (one.cache_info().maxsize or 0) <= 8192, one


def test_caches_of_functions_have_a_bound() -> None:
    single(0)
    unbounded = {
        f"{one.__module__}.{one.__qualname__}"
        for one in gc.get_objects()
        if type(one) is _Cached
        and one.__module__.startswith(("finemem_env", "baselines", "agents"))
        and one.cache_info().maxsize is None
        and inspect.signature(one).parameters  # else it holds one value
    }
    # Of flags, of files and functions of this package, and of names of classes.
    assert unbounded <= {
        "finemem_env.data.files.each_record",
        "finemem_env.readers.pieces._kinds",
        "finemem_env.prompts.files.load_prompt",
        "finemem_env.view.document._asset",
        "finemem_env.backends.local.causal_lm._parameters",
    }

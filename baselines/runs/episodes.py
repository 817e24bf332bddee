"""Which episodes are played: the reset seeds of a run, every episode of finite data once.

Draw k of a run is the reset with SeedSequence([seed, k]). An episode that was drawn before is
passed over. The episodes are the same for every agent, and fewer of them are the first ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random

from baselines.runs.runner import session_of
from finemem_env.data.combined import FileSource, MixtureSource
from finemem_env.data.source import BaseSource, Source
from finemem_env.errors import ConfigError
from finemem_env.session import StreamSource

_REPEATS = (100, 20)  # draws that give nothing new before nothing new is expected, + per episode


def episode_seeds(seed: int, episodes: int) -> list[int]:
    """The reset seed of every draw, a function of (seed, i): the same for every agent."""
    return list(itertools.islice(_draws(seed), episodes))


def available(env: gym.Env[str, str]) -> int | None:
    """How many different episodes the environment's source holds; None: as many as wanted."""
    return None if _excludes(env) else _size(_source(env))


def distinct_seeds(
    env: gym.Env[str, str],
    seed: int,
    episodes: int,
    *,
    at_most: bool = False,
    repeat: bool = False,
) -> list[int]:
    """Reset seeds of so many different episodes.

    Args:
        env: the environment, which may be reset for it.
        seed: of the draws.
        episodes: how many.
        at_most: take all there are where there are fewer.
        repeat: where there are fewer, play all of them before any is played again.

    Raises:
        ConfigError: there are fewer; the error says how many.
    """
    source = _source(env)
    if isinstance(source, StreamSource) and source.size is None:
        return episode_seeds(seed, episodes)  # whatever comes next: nothing to choose from
    size = available(env)
    if size is not None and size < episodes and not repeat:
        if not at_most:
            raise _too_few(source, size, episodes)
        episodes = size
    seeds: list[int] = []
    seen: set[Hashable] = set()
    missed = 0
    for drawn in _draws(seed):
        if len(seeds) == episodes:
            break
        key = _key(env, source, drawn)
        missed = missed + 1 if key in seen else 0
        over = len(seen) == size or missed > _REPEATS[0] + _REPEATS[1] * len(seen)
        if key not in seen:
            seeds.append(drawn)
            seen.add(key)
        elif repeat and over:
            seeds.append(drawn)
            seen, missed = {key}, 0
        elif over:
            if not at_most:
                raise _too_few(source, len(seeds), episodes)
            break
    return seeds


def instance_seeds(env: gym.Env[str, str], seed: int, episodes: int) -> list[int]:
    """Reset seeds that draw instances 0, 1, … of the environment's source, in order.

    Raises:
        ConfigError: a source that does not draw from a list of instances, or holds fewer.
    """
    source = _source(env)
    if not isinstance(source, BaseSource) or source.size is None or source.size < episodes:
        raise ConfigError(f"{env}: expected a source of at least {episodes} instances.")
    seeds: dict[int, int] = {}
    for drawn in _draws(seed):
        if len(seeds) == episodes:
            break
        index = source.choose(np_random(drawn)[0])
        if index < episodes:
            seeds.setdefault(index, drawn)
    return [seeds[index] for index in range(episodes)]


def _draws(seed: int) -> Iterator[int]:
    for index in itertools.count():
        yield int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def _source(env: gym.Env[str, str]) -> Any:  # noqa: ANN401
    return getattr(getattr(env.unwrapped, "factory", None), "source", None)


def _excludes(env: gym.Env[str, str]) -> bool:
    """Whether episodes may be left without a question, so that fewer are played than there are."""
    return getattr(getattr(env.unwrapped, "factory", None), "exclusion", None) is not None


def _size(source: Any) -> int | None:  # noqa: ANN401
    if not isinstance(source, MixtureSource):
        return source.size if isinstance(source, Source | StreamSource) else None
    sizes = [_size(part) for part in source.parts]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _key(env: gym.Env[str, str], source: object, seed: int) -> Hashable:
    """Which episode a reset with this seed plays, without making it where the source can tell."""
    if isinstance(source, BaseSource | FileSource) and not _excludes(env):
        return source.choose(np_random(seed)[0])
    env.reset(seed=seed)
    return session_of(env).episode.episode_id


def _too_few(source: Any, there: int, count: int) -> ConfigError:  # noqa: ANN401
    return ConfigError(
        f"{count} episodes are asked for, but source {getattr(source, 'name', '')!r} holds {there} "
        f"in this split, and each is played once: ask for at most {there}, or play them again with "
        "--repeat, where the program has it."
    )

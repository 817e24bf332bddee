"""Conformance checks for agents, readers and environments; `finemem_env.testing` exports them.

Each plays what is given through ordinary and hostile cases and raises one `ConformanceError` that
lists everything that is wrong.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from finemem_env.prompts import parse_observation
from finemem_env.session import public
from finemem_env.testing.hashing import trajectory_hash
from finemem_env.text import split_sentences
from finemem_env.types import Answer, Reader, ReadRequest

_HOSTILE_ACTIONS = (
    "",
    "no JSON at all",
    "[" * 2000,
    '[{"op": "INSERT"}]',
    '[{"op": "DELETE", "id": "999"}]',
    "\ud800",
)
_STORE = '[{"op": "INSERT", "content": "The gate opens at nine."}]'
_SEED = 3
_SEEDS = 32  # tried for another episode
_NEEDED_INFO = ("chunk_index", "episode_id", "instructions", "memory_tokens", "num_chunks")


class ConformanceError(AssertionError):
    """What was checked does not keep the contract; `problems` lists how."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__(f"{what}: " + "; ".join(problems))
        self.problems = tuple(problems)


def check_agent(
    make: Callable[[], Any],
    *,
    make_env: Callable[[], gym.Env[str, str]] | None = None,
    deterministic: bool = True,
    time_limit: float = 60.0,
) -> None:
    """Check a benchmark agent: `reset(info)` and `act(observation, info) -> str`.

    It must reply with text to every observation, leave `info` as it is, do something the memory
    accepts, and carry nothing over a reset: episode A played after episode B is played as it was
    before.

    Args:
        make: builds the agent.
        make_env: builds the environment (default: a short FineMem-AR-v0).
        deterministic: False leaves out the last demand, for agents that sample.
        time_limit: seconds in which an episode must be over.

    Raises:
        ConformanceError: with every problem that was found.
    """
    problems: list[str] = []
    agent = _attempt(problems, "building it", make)
    if problems:
        raise ConformanceError("agent", problems)
    for name in ("reset", "act"):
        if not callable(getattr(agent, name, None)):
            problems.append(f"it has no method {name}")
    if problems:
        raise ConformanceError("agent", problems)
    env = (make_env or _small_env)()
    plays = [_timed(env, agent, seed, problems, time_limit) for seed in (0, 1, 0)]
    env.close()
    if not problems:
        if deterministic and plays[0][0] != plays[2][0]:
            problems.append("the same episode is played in another way after another episode")
        if not any(accepted for _, accepted in plays):
            problems.append("the memory accepts none of its operations")
    if problems:
        raise ConformanceError(f"agent {type(agent).__name__}", list(dict.fromkeys(problems)))


def _small_env() -> gym.Env[str, str]:
    import finemem_env  # noqa: F401  (registers the ids)

    return gym.make("FineMem-AR-v0", disable_env_checker=True, num_chunks=3)


_Play = tuple[list[str], int]


def _timed(
    env: gym.Env[str, str],
    agent: Any,  # noqa: ANN401
    seed: int,
    problems: list[str],
    limit: float,
) -> _Play:
    """Play in a thread that can be given up."""
    played: list[_Play] = [([], 0)]
    if problems:
        return played[0]

    def play() -> None:
        played[0] = _play(env, agent, seed, problems)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        problems.append(f"no end of the episode within {limit:g} s")
    return played[0]


def _play(env: gym.Env[str, str], agent: Any, seed: int, problems: list[str]) -> _Play:  # noqa: ANN401
    observation, info = env.reset(seed=seed)
    _attempt(problems, "reset", agent.reset, public(info))
    actions, accepted, over = [], 0, False
    while not over and not problems:
        shown = public(info)
        before = copy.deepcopy(shown)
        action = _attempt(problems, "act", agent.act, observation, shown)
        if shown != before:
            problems.append("act changes the info that it is given")
        if not problems and not isinstance(action, str):
            problems.append(f"act returns {type(action).__name__}, not str")
        if problems:
            break
        actions.append(action)
        observation, _, over, _, info = env.step(action)
        accepted += sum(1 for operation in info["operations"] if operation["accepted"])
    return actions, accepted


def _attempt(problems: list[str], what: str, call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    try:
        return call(*arguments)
    except Exception as error:
        problems.append(f"{what} raises {type(error).__name__}: {error}")
        return None


_ITEMS = ("The gate opens at nine. It closes at ten.", "Mara lives in Osta.")
_REQUESTS = (
    ReadRequest("When does the gate open?", _ITEMS),
    ReadRequest("Where does Mara live?", _ITEMS),
    ReadRequest("Where does Mara live?", ()),
    ReadRequest("Where does Mara live?", ("", "\ud800 \u200b")),
    ReadRequest("good soup", ("fine bread label: food", "slow train label: travel"), task="label"),
    ReadRequest("What happens?", _ITEMS, task="summary", answer_tokens=12),
    ReadRequest("Where?", _ITEMS, task="choice", choices=("Osta", "Rome")),
    ReadRequest("Who lives where the gate is?", _ITEMS, task="multi_hop"),
)


def check_reader(reader: Any, *, deterministic: bool = True) -> None:  # noqa: ANN401
    """Check a reader: `version` and `answer(requests) -> list[Answer]`.

    It must give one `Answer` per request and in order, also for none, for no items and for text
    that cannot be encoded, point in `used` to items and sentences that are there, and answer a
    question the same way in any batch.

    Args:
        reader: what to check.
        deterministic: False leaves out the last demand, for readers that sample.

    Raises:
        ConformanceError: with every problem that was found.
    """
    problems: list[str] = []
    name = f"reader {type(reader).__name__}"
    if not isinstance(reader, Reader):
        raise ConformanceError(name, ["it needs a property version and a method answer(requests)"])
    if not isinstance(reader.version, str) or not reader.version:
        problems.append(f"version is {reader.version!r}, not a non-empty str")
    if _attempt(problems, "answer([])", reader.answer, []) not in ([], None):
        problems.append("answer([]) is not []")
    answers = _attempt(problems, "answer", reader.answer, list(_REQUESTS))
    if answers is not None:
        problems += _answer_problems(answers)
    if not problems and deterministic:
        alone = [reader.answer([request])[0] for request in _REQUESTS]
        if [(one.text, one.used) for one in alone] != [(one.text, one.used) for one in answers]:
            problems.append("an answer depends on the batch that its question is in")
    if problems:
        raise ConformanceError(name, problems)


def _answer_problems(answers: object) -> list[str]:
    if not isinstance(answers, list) or len(answers) != len(_REQUESTS):
        shown = len(answers) if isinstance(answers, list) else type(answers).__name__
        return [f"{len(_REQUESTS)} requests give {shown}, not a list of as many answers"]
    problems = []
    for request, answer in zip(_REQUESTS, answers, strict=True):
        if not isinstance(answer, Answer) or not isinstance(answer.text, str):
            problems.append(f"{request.question!r} gives {answer!r}, not an Answer with a text")
            continue
        for item, sentence in answer.used:
            sentences = (
                split_sentences(request.items[item]) if item in range(len(request.items)) else ()
            )
            if item not in range(len(request.items)) or (
                sentence is not None and sentence not in range(len(sentences))
            ):
                problems.append(
                    f"{request.question!r} cites {(item, sentence)}, which is not there"
                )
    return problems


def check_environment(make: Callable[[], gym.Env[str, str]]) -> None:
    """Check an environment of this kind: text in, text out, one step per chunk.

    Equal seeds must give equal trajectories in two instances and other seeds other episodes, unless
    the data are a single one; agent text, however broken, must neither raise nor change the number
    of steps; `info` must have the same keys at every step; the streamed rewards must add up to the
    attributed ones; and only text may be accepted as an action, and none after the end.

    Args:
        make: builds a fresh environment.

    Raises:
        ConformanceError: with every problem that was found.
    """
    problems: list[str] = []
    env, other = _attempt(problems, "building it", make), _attempt(problems, "building it", make)
    if not problems:
        _check_reset(env, problems)
    if not problems:
        for actions in ([_STORE], list(_HOSTILE_ACTIONS)):
            _check_episode(env, actions, problems)
        hashes = [_attempt(problems, "an episode", _hash, made, _SEED) for made in (env, other)]
        if not problems and hashes[0] != hashes[1]:
            problems.append("the same seed and actions give another trajectory in a new instance")
        if not problems and not _tells_seeds_apart(env, hashes[0]):
            problems.append("another seed gives the same trajectory")
    if problems:
        raise ConformanceError("environment", list(dict.fromkeys(problems)))


def _tells_seeds_apart(env: gym.Env[str, str], first: str) -> bool:
    """Whether some seed gives another episode than `_SEED`, whose trajectory is `first`.

    Few data give one episode to several seeds, and a single episode to all of them.
    """
    name = env.reset(seed=_SEED)[1].get("episode_id")
    for seed in range(_SEED + 1, _SEED + 1 + _SEEDS):
        if env.reset(seed=seed)[1].get("episode_id") != name:
            return _hash(env, seed) != first
    source = getattr(getattr(env.unwrapped, "factory", None), "source", None)
    return getattr(source, "size", None) == 1


def _hash(env: gym.Env[str, str], seed: int) -> str:
    return trajectory_hash(env, [_STORE], seed=seed)


def _check_reset(env: gym.Env[str, str], problems: list[str]) -> None:
    started = _attempt(problems, "reset", lambda: env.reset(seed=0))
    if problems:
        return
    observation, info = started
    if not env.observation_space.contains(observation):
        problems.append("the observation is not in observation_space")
    if _attempt(problems, "parse_observation", parse_observation, observation) is None:
        return
    problems += [f"info has no {key!r}" for key in _NEEDED_INFO if key not in info]


def _check_episode(env: gym.Env[str, str], actions: Sequence[str], problems: list[str]) -> None:
    _, info = env.reset(seed=1)
    keys, steps, total = set(info), info["num_chunks"], 0.0
    for step in range(steps):
        action = actions[step % len(actions)]
        outcome = _attempt(problems, f"step({action[:20]!r})", env.step, action)
        if outcome is None:
            return
        _, reward, terminated, truncated, info = outcome
        total += float(reward)
        if not math.isfinite(reward):
            problems.append(f"step {step} pays {reward}")
        if terminated != (step == steps - 1) or truncated:
            problems.append(f"the flags after step {step} of {steps} are {terminated}, {truncated}")
            return
        if set(info) != keys:
            problems.append(f"the keys of info change: {sorted(set(info) ^ keys)}")
    if abs(sum(info.get("step_rewards", ())) - total) > 1e-6:
        problems.append("info['step_rewards'] does not add up to the streamed rewards")
    _refuses(env, actions[0], "an action after the end", problems)
    env.reset(seed=1)
    _refuses(env, 7, "an action that is not text", problems)


def _refuses(env: gym.Env[str, str], action: Any, what: str, problems: list[str]) -> None:  # noqa: ANN401
    try:
        env.step(action)
    except Exception:
        return
    problems.append(f"{what} is accepted")

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401
from finemem_env.data.schema import write_episodes
from finemem_env.env import MemoryEnv
from finemem_env.readers import make_reader
from finemem_env.testing import (
    ConformanceError,
    canonical,
    check_agent,
    check_environment,
    check_reader,
    trajectory_hash,
)
from finemem_env.types import Answer, Episode, Question, ReadRequest

STORE = '[{"op": "INSERT", "content": "%s"}]'


class Good:
    def reset(self, info: Any) -> None:  # noqa: ANN401
        self.step = 0

    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        self.step += 1
        return STORE % f"note {self.step}"


class Raises(Good):
    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        raise KeyError("lost")


class ReturnsBytes(Good):
    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        return b"[]"


class Hangs(Good):
    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        time.sleep(2)
        return super().act(observation, info)


class Carries(Good):
    step = 0

    def reset(self, info: Any) -> None:  # noqa: ANN401
        """Forgets to forget."""


class Babbles(Good):
    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        return "I will remember that."


class Meddles(Good):
    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        info["num_chunks"] = 0
        return super().act(observation, info)


class Peeks(Good):
    key = "step_rewards"

    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        return super().act(observation, info) if info[self.key] is None else ""


class PeeksAtScores(Peeks):
    key = "score"


class HalfAnAgent:
    def reset(self, info: Any) -> None:  # noqa: ANN401
        """Has no act."""


class NeedsArguments(Good):
    def __init__(self, path: str) -> None:
        self.path = path


def test_a_good_agent_passes() -> None:
    check_agent(Good)


@pytest.mark.parametrize(
    ("agent", "problem"),
    [
        (Raises, "act raises KeyError: 'lost'"),
        (ReturnsBytes, "act returns bytes, not str"),
        (Hangs, "no end of the episode within 0.5 s"),
        (Carries, "in another way after another episode"),
        (Babbles, "accepts none of its operations"),
        (Meddles, "changes the info"),
        (Peeks, "act raises KeyError: 'step_rewards'"),
        (PeeksAtScores, "act raises KeyError: 'score'"),
        (HalfAnAgent, "no method act"),
        (NeedsArguments, "building it raises TypeError"),
    ],
)
def test_an_agent_that_breaks_the_contract_fails(agent: Any, problem: str) -> None:  # noqa: ANN401
    with pytest.raises(ConformanceError, match=problem):
        check_agent(agent, time_limit=0.5 if agent is Hangs else 60)


def test_an_agent_that_samples_may_say_so() -> None:
    check_agent(Carries, deterministic=False)


class Echo:
    version = "echo/1"

    def answer(self, requests: Sequence[ReadRequest]) -> Any:  # noqa: ANN401
        return [Answer(request.items[0] if request.items else "") for request in requests]


class Short(Echo):
    def answer(self, requests: Sequence[ReadRequest]) -> Any:  # noqa: ANN401
        return super().answer(requests)[:-1]


class Texts(Echo):
    def answer(self, requests: Sequence[ReadRequest]) -> Any:  # noqa: ANN401
        return ["Osta" for _ in requests]


class CitesNothing(Echo):
    def answer(self, requests: Sequence[ReadRequest]) -> Any:  # noqa: ANN401
        return [Answer("x", used=((7, 0),)) for _ in requests]


class Batchy(Echo):
    def answer(self, requests: Sequence[ReadRequest]) -> Any:  # noqa: ANN401
        return [Answer(str(len(requests))) for _ in requests]


class Empty(Echo):
    def answer(self, requests: Sequence[ReadRequest]) -> Any:  # noqa: ANN401
        return [Answer(request.items[0]) for request in requests]


class Nameless(Echo):
    version = ""


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        (Short(), "give 7, not a list"),
        (Texts(), "not an Answer with a text"),
        (CitesNothing(), "which is not there"),
        (Batchy(), "depends on the batch"),
        (Empty(), "answer raises IndexError"),
        (Nameless(), "not a non-empty str"),
        (object(), "needs a property version"),
    ],
)
def test_a_reader_that_breaks_the_contract_fails(reader: Any, problem: str) -> None:  # noqa: ANN401
    with pytest.raises(ConformanceError, match=problem):
        check_reader(reader)


def test_good_readers_pass() -> None:
    check_reader(Echo())
    check_reader(make_reader({"name": "local"}))


def small() -> gym.Env[str, str]:
    env: gym.Env[str, str] = gym.make("FineMem-AR-v0", disable_env_checker=True, num_chunks=3)
    return env


class Altered(gym.Wrapper[Any, Any, Any, Any]):
    how = ""

    def __init__(self) -> None:
        super().__init__(small())

    def reset(self, **given: Any) -> Any:  # noqa: ANN401
        if self.how == "deaf":
            given["seed"] = None
        if self.how == "stuck":
            given["seed"] = 0
        observation, info = super().reset(**given)
        if self.how == "poor":
            del info["num_chunks"]
        return (b"x" if self.how == "bytes" else observation), info

    def step(self, action: Any) -> Any:  # noqa: ANN401
        if self.how == "strict" and "op" not in str(action):
            raise RuntimeError("bad text")
        if self.how == "lenient" and not isinstance(action, str):
            action = "[]"
        observation, reward, terminated, truncated, info = super().step(action)
        if self.how == "generous":
            reward = float(reward) + 1
        if self.how == "nan":
            reward = float("nan")
        if self.how == "short":
            terminated = True
        if self.how == "keys" and terminated:
            info["extra"] = 1
        return observation, reward, terminated, truncated, info


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("deaf", "another trajectory in a new instance"),
        ("stuck", "another seed gives the same trajectory"),
        ("poor", "info has no 'num_chunks'"),
        ("bytes", "not in observation_space"),
        ("strict", "raises RuntimeError: bad text"),
        ("lenient", "not text is accepted"),
        ("generous", "does not add up"),
        ("nan", "pays nan"),
        ("short", "the flags after step 0 of 3"),
        ("keys", "the keys of info change"),
    ],
)
def test_an_environment_that_breaks_the_contract_fails(how: str, problem: str) -> None:
    broken = type("Broken", (Altered,), {"how": how})
    with pytest.raises(ConformanceError, match=problem):
        check_environment(broken)


def test_the_environments_of_this_suite_pass() -> None:
    check_environment(small)


def test_canonical_text_and_hash() -> None:
    assert canonical({"b": 0.1, "a": (1, None)}) == canonical({"a": [1, None], "b": 0.1})
    with pytest.raises(TypeError, match="no canonical form"):
        canonical(object())
    actions = [STORE % "note"]
    assert trajectory_hash(small(), actions, seed=0) == trajectory_hash(small(), actions, seed=0)
    assert trajectory_hash(small(), actions, seed=0) != trajectory_hash(small(), [""], seed=0)


@pytest.mark.parametrize("count", [1, 2])
def test_few_episodes_are_no_fault(count: int, tmp_path: Path, tiny_episode: Episode) -> None:
    path = tmp_path / "few.jsonl"
    named = [dataclasses.replace(tiny_episode, episode_id=f"e{i}") for i in range(count)]
    write_episodes(path, named)
    check_environment(lambda: gym.make("FineMem-AR-v0", source=str(path)))


def test_a_list_of_chunks_is_one_episode() -> None:
    told = ["Mara lives in Osta.", Question("q0", "Where does Mara live?", ("Osta",))]
    check_environment(lambda: MemoryEnv(source=told))


def test_few_episodes_must_be_drawn_all_the_same(tmp_path: Path, tiny_episode: Episode) -> None:
    path = tmp_path / "few.jsonl"
    named = [dataclasses.replace(tiny_episode, episode_id=f"e{i}") for i in range(3)]
    write_episodes(path, named)

    class Stuck(gym.Wrapper[Any, Any, Any, Any]):
        def reset(self, **given: Any) -> Any:  # noqa: ANN401
            return super().reset(**given | {"seed": 0})

    with pytest.raises(ConformanceError, match="another seed gives the same trajectory"):
        check_environment(lambda: Stuck(gym.make("FineMem-AR-v0", source=str(path))))

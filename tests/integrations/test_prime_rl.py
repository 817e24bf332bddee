"""Credit for prime-rl: GRPO within each (context, step), one value for every sampled token."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from finemem_env.errors import DataError
from finemem_env.integrations.prime_rl import step_advantages
from tests.documents import PAGES, blocks


def trace(rewards: list[float], tokens: tuple[int, ...] = (2, 3, 4)) -> Any:  # noqa: ANN401
    """A shared system message, then a prompt and a reply of so many tokens for each step."""
    nodes = [SimpleNamespace(mask=[False] * 5)]
    for count in tokens:
        nodes += [SimpleNamespace(mask=[False] * 3), SimpleNamespace(mask=[False] + [True] * count)]
    return SimpleNamespace(info={"turn_rewards": rewards}, nodes=nodes)


_CLASS = "class StepGRPOAlgorithm"
REWARDS = np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 1.0], [2.0, 2.0, 4.0]])


def test_each_reply_is_compared_with_the_others_at_its_step() -> None:
    group = [trace(row.tolist()) for row in REWARDS]
    expected = (REWARDS - REWARDS.mean(0)) / (REWARDS.std(0, ddof=1) + 1e-4)
    for values, row in zip(step_advantages(group, credit="step"), expected, strict=True):
        assert values == pytest.approx(np.repeat(row, [2, 3, 4]))
    for values, row in zip(
        step_advantages(group, credit="step", scale=False), REWARDS, strict=True
    ):
        assert values == pytest.approx(np.repeat(row - REWARDS.mean(0), [2, 3, 4]))


def test_lengths_are_each_traces_own_and_one_rollout_has_no_credit() -> None:
    group = [trace([1.0, 2.0], (1, 2)), trace([2.0, 1.0], (3, 1))]
    values = step_advantages(group, credit="step", scale=False)
    assert values == [[-0.5, 0.5, 0.5], [0.5, 0.5, 0.5, -0.5]]
    values = step_advantages(group, scale=False)  # 3 and 3 to go, then 2 and 1
    assert values == [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0, -0.5]]
    assert step_advantages([trace([1.0, 2.0, 3.0])]) == [[0.0] * 9]


@pytest.mark.parametrize("rewards", [[1.0], [1.0, 2.0, 3.0, 4.0], []])
def test_rewards_that_do_not_fit_the_replies_are_refused(rewards: list[float]) -> None:
    with pytest.raises(DataError, match="one turn reward for each sampled message"):
        step_advantages([trace([1.0, 2.0, 3.0]), trace(rewards)])


def test_the_class_of_the_page_hands_every_trace_its_own_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against stand-ins for the three names that it imports; prime-rl itself is in no index."""
    (code,) = (one.text for one in blocks(PAGES["docs/integrations.md"]) if _CLASS in one.text)
    got: list[tuple[Any, list[float]]] = []
    parts: dict[str, dict[str, Any]] = {
        "base": {"Algorithm": object, "iter_trainable_traces": iter},
        "routing": {"assign_advantages": lambda one, values: got.append((one, values))},
    }
    for name, inside in parts.items():
        monkeypatch.setitem(sys.modules, f"prime_rl.orchestrator.algo.{name}", _module(inside))
    names: dict[str, Any] = {}
    exec(code, names)
    group = [trace(row.tolist()) for row in REWARDS]
    asyncio.run(names["StepGRPOAlgorithm"]().score_group(zip("abc", group, strict=True)))
    assert [one for one, _ in got] == group
    assert [values for _, values in got] == step_advantages(group)


def _module(inside: dict[str, Any]) -> Any:  # noqa: ANN401
    made = ModuleType("stand-in")
    made.__dict__.update(inside)
    return made

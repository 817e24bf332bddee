"""The policy of a few logits: what it writes, and the gradient of its log-probability."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.policy import BROKEN, UPDATE, KindPolicy
from finemem_env.operations import parse
from finemem_env.prompts import render_item
from finemem_env.prompts.observation import render_observation
from finemem_env.types import Op, Operation, OperationResult, RejectReason

SURE = 50.0
CHUNK = "Mara Velmor fed the goat. Fog came. It rained."


def observation(*items: str) -> str:
    lines = [render_item(number + 1, text) for number, text in enumerate(items)]
    return render_observation(
        chunk=CHUNK,
        chunk_index=2,
        num_chunks=5,
        time=None,
        lines=lines,
        memory_items=len(items),
        memory_tokens=9,
        budget=None,
    )


def kind(chunk: int, sentence: str) -> str:
    assert chunk == 2
    return "event" if "goat" in sentence else "weather"


def test_sure_choices_are_made_and_have_no_gradient() -> None:
    policy = KindPolicy(["event", "weather"], [SURE, -SURE])
    decision = policy.act(observation(), kind, np.random.default_rng(0))
    assert parse(decision.action) == (Operation(Op.INSERT, content="Mara Velmor fed the goat."),)
    assert decision.score == pytest.approx(np.zeros(2), abs=1e-9)


def test_storing_nothing_is_a_skip() -> None:
    policy = KindPolicy(["event"], [-SURE])
    decision = policy.act(observation(), kind, np.random.default_rng(0))
    assert parse(decision.action) == (Operation(Op.SKIP),)


def test_score_is_stored_minus_expected() -> None:
    """Two weather sentences at p = .25: 2·(1 − p), 1 − 2p or −2p, with the right frequencies."""
    policy = KindPolicy(["weather"], [np.log(1 / 3)])
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(400):
        decision = policy.act(observation(), kind, rng)
        stored = sum(entry["op"] == "INSERT" for entry in json.loads(decision.action))
        assert decision.score == pytest.approx([stored - 0.5])
        scores.append(decision.score[0])
    assert np.mean(scores) == pytest.approx(0.0, abs=4 * np.sqrt(2 * 0.25 * 0.75 / 400))


def test_score_is_the_gradient_of_the_log_probability() -> None:
    logits = np.array([0.4, -1.1])
    decision = KindPolicy(["event", "weather"], logits).act(
        observation(), kind, np.random.default_rng(3)
    )
    stored = decision.action

    def log_probability(at: np.ndarray) -> float:
        total = 0.0
        for sentence in ("Mara Velmor fed the goat.", "Fog came.", "It rained."):
            chance = 1 / (1 + np.exp(-at[0 if "goat" in sentence else 1]))
            total += np.log(chance if sentence in stored else 1 - chance)
        return total

    step = 1e-6
    numeric = [
        (log_probability(logits + step * unit) - log_probability(logits - step * unit)) / (2 * step)
        for unit in np.eye(2)
    ]
    assert decision.score == pytest.approx(numeric, abs=1e-6)


def test_broken_operations_are_rejected_by_the_environment() -> None:
    policy = KindPolicy(["event", BROKEN], [SURE, SURE])
    (result,) = parse(policy.act(observation(), kind, np.random.default_rng(0)).action)
    assert isinstance(result, OperationResult)
    assert result.reason is RejectReason.UNKNOWN_OPERATION


def test_update_carries_the_tally_on() -> None:
    memory = ("It is late.", "Tally: Mara Velmor fed the goat 2 times.")
    policy = KindPolicy(["event", UPDATE], [SURE, SURE])
    (update,) = parse(policy.act(observation(*memory), kind, np.random.default_rng(0)).action)
    assert update == Operation(
        Op.UPDATE, content="Tally: Mara Velmor fed the goat 3 times.", item_id=2
    )
    beside = KindPolicy(["event", UPDATE], [SURE, -SURE])
    (insert,) = parse(beside.act(observation(*memory), kind, np.random.default_rng(0)).action)
    assert insert == Operation(Op.INSERT, content="Mara Velmor fed the goat.")


def test_without_the_subject_in_memory_there_is_no_choice_to_update() -> None:
    policy = KindPolicy(["event", UPDATE], [SURE, 0.0])
    decision = policy.act(observation("It is late."), kind, np.random.default_rng(0))
    assert decision.score[1] == 0.0
    assert [operation.op for operation in _operations(decision.action)] == [Op.INSERT]


def _operations(action: str) -> list[Operation]:
    return [entry for entry in parse(action) if isinstance(entry, Operation)]

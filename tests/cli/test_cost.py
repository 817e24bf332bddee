"""Costs against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runs.config import PRESETS
from finemem_env.cli import cost as command
from finemem_env.cli.cost_model import (
    PUBLISHED,
    Assumptions,
    ModelCalls,
    Shape,
    costs,
    measure_shape,
)
from finemem_env.cli.train_cost import MODELS, Gpu, Model, TrainingPlan, estimate
from finemem_env.errors import ConfigError
from finemem_env.settings import resolve
from finemem_env.types import Chunk, Episode, Question

SHAPE = Shape(chunks=4, chunk_tokens=100, finals=10, chunk_questions=3, question_tokens=10)
ASSUMED = Assumptions(written=0.5, item_tokens=20, answer_tokens=10, scored=0.5)


def _by_kind(calls: list[ModelCalls]) -> dict[str, ModelCalls]:
    return {one.kind: one for one in calls}


def test_a_step_of_the_published_set_up_asks_25600_final_questions() -> None:
    settings = resolve(protocol="fine-mem", question_fraction=1.0)
    found = _by_kind(costs(PUBLISHED, settings, 32 * 8))
    assert found["final questions"].calls == 25_600
    assert found["manager"].calls == 2_560
    assert found["chunk questions"].calls == 12_800


def test_a_fifth_of_the_final_questions() -> None:
    settings = resolve(protocol="fine-mem", question_fraction=0.2)
    assert _by_kind(costs(PUBLISHED, settings, 256))["final questions"].calls == 5_120


def test_chunk_questions_by_scope_and_weight() -> None:
    def asked(**keywords: object) -> float:
        found = _by_kind(costs(SHAPE, resolve(**keywords), 2))
        return found["chunk questions"].calls if "chunk questions" in found else 0

    # current: 4 chunks × min(5, 3); seen: min(5, 3) + min(5, 6) + 5 + 5; two rollouts.
    assert asked(chunk_question_scope="current") == 2 * 12
    assert asked(chunk_question_scope="seen") == 2 * 18
    assert asked(reward="outcome") == 0
    assert asked(reward="outcome", chunk_questions=2) == 2 * 8


def test_memory_grows_to_the_budget() -> None:
    def prompt(**keywords: object) -> float:
        return _by_kind(costs(SHAPE, resolve(**keywords), 1, ASSUMED))["manager"].prompt

    empty = prompt(memory_budget=1) - 1 * 3 / 4
    assert prompt(memory_budget="unlimited") - empty == pytest.approx((0 + 50 + 100 + 150) / 4)
    assert prompt(memory_budget=0.2) - empty == pytest.approx((0 + 50 + 80 + 80) / 4)
    assert prompt(memory_budget=60) - empty == pytest.approx((0 + 50 + 60 + 60) / 4)


def test_lengths_of_a_call() -> None:
    calls = _by_kind(costs(SHAPE, resolve(top_k=2), 1, ASSUMED))
    assert calls["manager"].reply == 50 * (1 + 15 / 20)
    more = _by_kind(costs(SHAPE, resolve(top_k=5), 1, ASSUMED))
    assert more["final questions"].prompt - calls["final questions"].prompt == 3 * 20
    one = ModelCalls("x", 3, 10, 2)
    assert (one.prompt_tokens, one.reply_tokens) == (30, 6)


def test_leave_one_out_and_the_content_judge() -> None:
    left_out = resolve(attribution="leave_one_out", top_k=4)
    calls = _by_kind(costs(SHAPE, left_out, 1, ASSUMED))
    assert calls["leave-one-out"].calls == 10 * 0.5 * 4
    assert "leave-one-out" not in _by_kind(costs(SHAPE, resolve(attribution="cited"), 1))
    judged = resolve(reward="mem-alpha", judge={"name": "openai", "model": "m"})
    assert _by_kind(costs(SHAPE, judged, 1, ASSUMED))["content judge"].calls == 4 * 50 / 20
    assert "content judge" not in _by_kind(costs(SHAPE, resolve(reward="mem-alpha"), 1, ASSUMED))


def test_shape_of_episodes(tiny_episode: Episode) -> None:
    longer = Episode(
        "e", "AR", "s", (Chunk("c", "one two three four"),), (Question("q", "a b c", ("x",)),) * 4
    )
    shape = measure_shape([tiny_episode, longer])
    assert (shape.chunks, shape.finals, shape.chunk_questions) == (2.0, 3.0, 0.75)


def test_command_prints_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--question-fraction", "1"]) == 0
    printed = capsys.readouterr().out
    assert "training step: 32 contexts x 8 rollouts, 100% of the final questions" in printed
    assert "25,600" in printed
    assert "benchmark: one agent on 100 episodes" in printed


def test_command_measures_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--source", "synthetic", "--protocol", "managed"]) == 0
    printed = capsys.readouterr().out
    assert "(20 episodes measured)" in printed
    assert "write 40% of a chunk" in printed


def test_command_measures_real_data(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--source", "hotpotqa", "--data-dir", str(data_dir)]) == 0
    assert "10.0 chunks" in capsys.readouterr().out


def test_weights_are_those_of_the_published_models() -> None:
    """Beside norms: 4,022,468,096 of Qwen3-4B and 8,190,735,360 of Qwen3-8B are all weights."""
    assert 0 < 4_022_468_096 - MODELS["qwen3-4b"].weights < 1e6
    assert 0 < 8_190_735_360 - MODELS["qwen3-8b"].weights < 1e6
    # Keys and values of 8 heads of 128 in 36 layers, two bytes each.
    assert MODELS["qwen3-4b"].cache_bytes == 147_456


def test_an_update_by_hand() -> None:
    """One block of 4 x 4 matrices: 2·4·4·2 + 3·4·8 = 160 weights, and 10 x 4 of the vocabulary."""
    model = Model(1, 4, 8, 1, 1, 4, 10, True)
    assert (model.block_weights, model.weights, model.adapters(1)) == (160, 200, 68)
    gpu = Gpu(1e9, 1000.0, 100.0)
    call = ModelCalls("manager", 6, 3, 2)  # 3 rows at each of 2 steps
    plan = TrainingPlan(
        "full", sample_tokens=10, max_new_tokens=2, arithmetic=1.0, reading=1.0, launch=1.0
    )
    one = estimate(model, gpu, 1, call, 2, plan)
    assert one.state == 200 * 16
    # Rows of 5 tokens, two at a time: a cache of 10 tokens of 16 bytes, beside bfloat16 weights.
    assert one.sampling == 3200 + 400 + 160
    attention = 2 * 4 * 5
    assert one.prefill_seconds == pytest.approx(6 * 3 * (400 + attention) / 1000)
    assert one.decode_seconds == pytest.approx(2 * 2 * 3 / 2 * (1 + (400 + 160) / 100))
    assert one.update_seconds == pytest.approx(30 * 4 * (400 + attention) / 1000)
    two = estimate(model, gpu, 2, call, 2, plan)
    assert two.state == 1600
    assert two.sampling == 1600 + 800 + 400 + 7.5 * 16  # whole weights, one row and a half
    assert two.update_seconds == one.update_seconds / 2
    adapted = estimate(model, gpu, 1, call, 2, TrainingPlan("lora", rank=1))
    assert adapted.state == 400 + 68 * 16


def test_plans_are_those_of_the_presets() -> None:
    for way, preset in (("full", PRESETS["paper"]), ("lora", PRESETS["gpu-4b-lora"])):
        plan = TrainingPlan.of(way)  # type: ignore[arg-type]
        assert plan.sample_tokens == preset["sample_tokens"]
        assert plan.micro_tokens == preset["micro_tokens"]
        assert plan.max_new_tokens == preset["max_new_tokens"]
        assert plan.rank == preset.get("lora_rank", plan.rank)


def test_command_estimates_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--train", "full", "--gpus", "1", "8"]) == 0
    printed = capsys.readouterr().out
    assert "ESTIMATES, not measured: one update of qwen3-4b on h100" in printed
    lines = [line.split() for line in printed.splitlines() if line.startswith(("1 ", "8 "))]
    assert [line[:2] for line in lines] == [["1", "64"], ["8", "8"]]
    assert [line[9] for line in lines] == ["no", "yes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contexts", "0"], "--contexts: expected at least 1"),
        (["--contexts", "9" * 99], "--contexts: expected at most 9007199254740992"),
        (["--protocol", "managed", "--env-args", '{"protocol": "mem-alpha"}'], "given by --proto"),
        (
            ["--env-args", '{"question_fraction": 0.5}', "--question-fraction", "1"],
            "again in --env",
        ),
        (["--protocol", "finemen"], "Did you mean 'fine-mem'"),
        (["--env-args", "{"], "--env-args"),
        (["--env-args", '{"top_q": 3}'], "top_q"),
        (["--question-fraction", "0"], "question_fraction"),
        (["--written", "-1"], "--written: expected a number above 0"),
        (["--written", "11"], "--written must be at most 10"),
        (["--item-tokens", "1e308"], "--item-tokens from 1 to 1,000,000"),
        (["--model", "qwen3-8b"], "--model: needs --train"),
        (["--gpus", "2"], "--gpus: needs --train"),
        (["--train", "full", "--contexts", "4", "--gpus", "1", "8"], "--gpus: expected at most 4"),
        (["--source", "sqad"], "Did you mean 'squad'"),
    ],
)
def test_command_refuses_bad_options(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        command.main(arguments)

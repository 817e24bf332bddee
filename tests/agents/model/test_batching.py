"""How rows are cut changes nothing: gradients of any split, order, padding and sharing agree."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch
from torch import Tensor

from agents.learn.loss import Denominators, LossConfig
from agents.learn.update import accumulate_gradients, count_batches
from agents.model.batching import MicroBatch, Row, collate, flatten, micro_batches, plan, unflatten
from agents.model.logprobs import Scorer, score_rows
from finemem_env.backends.local import Unit, find_units
from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MakeModel = Callable[..., "PreTrainedModel"]
LOSSES = ["grpo", "dapo", "dr_grpo", "bnpo"]


def computed_tokens(batch: MicroBatch) -> int:
    """Positions that run through the model, padding included."""
    shared = 0 if batch.prefix_ids is None else batch.prefix_ids.numel()
    return shared + batch.input_ids.numel()


def make_rows(count: int, seed: int = 0, shared: int = 20, group: int = 4) -> list[Row]:
    """Ragged rows; each run of `group` rows shares `shared` prompt tokens."""
    rng = random.Random(seed)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, 300) for _ in range(n))

    rows = []
    for index in range(count):
        if index % group == 0:
            prefix = ids(shared)
        completion = ids(rng.randint(1, 9))
        rows.append(
            Row(
                prompt=prefix + ids(rng.randint(1, 12)),
                completion=completion,
                sampler_logprobs=tuple(rng.uniform(-7, -5) for _ in completion),
                advantage=rng.gauss(0, 1),
                group=index // group,
            )
        )
    return rows


def gradients(
    model: PreTrainedModel,
    rows: Sequence[Row],
    micro_tokens: int = 10_000,
    loss_type: Any = "dapo",  # noqa: ANN401
    **options: Any,  # noqa: ANN401
) -> list[Tensor]:
    counts = Denominators.of(
        [len(r.completion) for r in rows], [r.weight for r in rows], max_completion_length=9
    )
    model.zero_grad()
    config = LossConfig(loss_type=loss_type, entropy_coef=0.01)
    accumulate_gradients(Scorer(model), rows, config, counts, micro_tokens=micro_tokens, **options)
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def assert_same(first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
    assert len(first) == len(second)
    size = max(float(g.abs().max()) for g in first)
    assert size > 0
    for mine, other in zip(first, second, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5 * size, rtol=1e-4)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_one_micro_batch_of_8_is_8_of_1(make_model: MakeModel, loss_type: str) -> None:
    model, rows = make_model(), make_rows(8)
    assert count_batches(rows, 10_000) == 1
    assert count_batches(rows, 1) == 8
    whole = gradients(model, rows, 10_000, loss_type)
    assert_same(whole, gradients(model, rows, 1, loss_type))
    assert_same(whole, gradients(model, rows, 70, loss_type))


@pytest.mark.parametrize("loss_type", LOSSES)
def test_permutation_and_padding_rows(make_model: MakeModel, loss_type: str) -> None:
    model, rows = make_model(), make_rows(8)
    whole = gradients(model, rows, 80, loss_type)
    order = random.Random(1).sample(range(8), 8)
    assert_same(whole, gradients(model, [rows[i] for i in order], 80, loss_type))
    filler = [replace(row, weight=0.0, advantage=1e6) for row in make_rows(3, seed=9)]
    assert_same(whole, gradients(model, [*filler, *rows], 80, loss_type))
    assert_same(whole, gradients(model, rows, 80, loss_type, batches=7))


@pytest.mark.parametrize("loss_type", LOSSES)
def test_shared_prefix_changes_nothing(make_model: MakeModel, loss_type: str) -> None:
    """The prefix of a group computed once, with groups of different prefix lengths and loners."""
    model = make_model()
    rows = [*make_rows(8), *(replace(r, group="other") for r in make_rows(4, seed=2, shared=33))]
    rows[5] = replace(rows[5], group=None)
    old = [[-6.0] * len(row.completion) for row in rows]
    whole = gradients(model, rows, 400, loss_type, share=False, old=old)
    assert_same(whole, gradients(model, rows, 400, loss_type, share=True, old=old))
    cost = [
        sum(computed_tokens(batch) for batch in micro_batches(rows, 400, share=share))
        for share in (True, False)
    ]
    assert cost[0] < 0.7 * cost[1]


def test_scores_come_back_in_the_order_of_the_rows(make_model: MakeModel) -> None:
    model, rows = make_model(), make_rows(8)
    scorer = Scorer(model)
    together = score_rows(scorer, rows, micro_tokens=90)
    for row, found in zip(rows, together, strict=True):
        (alone,) = score_rows(scorer, [row], micro_tokens=90)
        assert found == pytest.approx(alone, abs=1e-4)
        assert len(found) == len(row.completion)


@pytest.mark.parametrize("share", [True, False])
def test_an_advantage_lands_on_its_own_tokens(make_model: MakeModel, share: bool) -> None:
    """The gradient of a batch in which one ragged row counts is that of the row alone."""
    model, rows = make_model(), make_rows(8)
    counts = Denominators(rows=8, tokens=40, window_tokens=40, max_completion_length=9)

    def run(chosen: Sequence[Row]) -> list[Tensor]:
        model.zero_grad()
        accumulate_gradients(
            Scorer(model), chosen, LossConfig(), counts, micro_tokens=10_000, share=share
        )
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    for index in (0, 3, 6):
        only = [replace(r, advantage=r.advantage * (i == index)) for i, r in enumerate(rows)]
        assert_same(run([rows[index]]), run(only))


def test_flat_layout_points_at_the_right_outputs() -> None:
    rows = [Row((1, 2, 3), (4, 5)), Row((6, 7), (8,))]
    (units,) = plan(rows, 100)
    batch = collate(rows, units)
    assert batch.rows == (0, 1)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4], [6, 7, 0, 0]]
    assert batch.source.tolist() == [2, 3, 5]  # outputs after 3, after 4, and after 7
    assert batch.targets.tolist() == [4, 5, 8]
    assert batch.row.tolist() == [0, 0, 1]
    assert batch.attention_mask is None


def test_shared_layout() -> None:
    rows = [Row((1, 2, 3, 9), (4, 5), group="g"), Row((1, 2, 3, 7, 8), (6,), group="g")]
    (units,) = plan(rows, 100, minimum=2)
    assert units == (Unit((0, 1), 3),)
    batch = collate(rows, units)
    assert batch.prefix_ids is not None
    assert batch.unit is not None
    assert batch.attention_mask is not None
    assert batch.prefix_ids.tolist() == [[1, 2, 3]]
    assert batch.input_ids.tolist() == [[9, 4], [7, 8]]
    assert batch.position_ids.tolist() == [[3, 4], [3, 4]]
    assert batch.source.tolist() == [0, 1, 3]
    assert batch.unit.tolist() == [0, 0]
    assert batch.attention_mask.shape == (2, 5)
    assert computed_tokens(batch) == 7


def test_units_keep_the_last_prompt_token() -> None:
    """Equal prompts share all but their last token, which predicts the completion."""
    assert find_units([(1, 2, 3)] * 3, ["g"] * 3, minimum=2) == [Unit((0, 1, 2), 2)]
    assert find_units([(1, 2), (1, 2, 3)], ["g"] * 2, minimum=1) == [Unit((0, 1), 1)]
    assert find_units([(1, 2), (3, 2)], ["g"] * 2, minimum=1) == [Unit((0,), 0), Unit((1,), 0)]
    assert find_units([(1, 2), (1, 2)], [None, None]) == [Unit((0,), 0), Unit((1,), 0)]
    assert find_units([(1, 2)], ["g"], minimum=1) == [Unit((0,), 0)]


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 20), budget=st.integers(1, 300), seed=st.integers(0, 99))
def test_plan_covers_every_row_once_within_the_budget(count: int, budget: int, seed: int) -> None:
    rows = make_rows(count, seed)
    batches = [collate(rows, units) for units in plan(rows, budget)]
    assert sorted(i for batch in batches for i in batch.rows) == list(range(count))
    for batch in batches:
        assert computed_tokens(batch) <= budget or len(batch.rows) == 1
    widths = [max(len(rows[i].prompt) + len(rows[i].completion) for i in b.rows) for b in batches]
    if not any(batch.prefix_ids is not None for batch in batches):
        assert widths == sorted(widths, reverse=True)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 9), seed=st.integers(0, 99))
def test_flatten_and_unflatten_are_inverse(count: int, seed: int) -> None:
    rows = make_rows(count, seed)
    values = [[float(n + 10 * i) for n in range(len(r.completion))] for i, r in enumerate(rows)]
    found: dict[int, tuple[float, ...]] = {}
    for batch in micro_batches(rows, 100):
        found |= unflatten(flatten(values, batch), batch)
    assert [list(found[i]) for i in range(count)] == values


def test_refusals(make_model: MakeModel) -> None:
    rows = make_rows(2)
    (batch,) = micro_batches(rows, 1000)
    with pytest.raises(ConfigError, match="row 0: expected"):
        flatten([[], []], batch)
    with pytest.raises(ConfigError, match="prompt"):
        Row((), (1,))
    with pytest.raises(ConfigError, match="sampler log-probabilities"):
        Row((1,), (1, 2), (0.0,))
    with pytest.raises(ConfigError, match="micro_tokens"):
        plan(rows, 0)
    with pytest.raises(ConfigError, match="some have none"):
        gradients(make_model(), [rows[0], replace(rows[1], sampler_logprobs=())])
    counts = Denominators(1, 1, 1, 1)
    with pytest.raises(ConfigError, match="at least one row"):
        accumulate_gradients(Scorer(make_model()), [], LossConfig(), counts, micro_tokens=10)

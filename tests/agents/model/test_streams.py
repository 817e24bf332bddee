"""Parts of a job side by side: the same numbers, in the same order, whatever takes how long."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch
from torch import Tensor

from agents.learn import update
from agents.learn.loss import Denominators, LossConfig
from agents.learn.update import accumulate_gradients
from agents.model.batching import Row, stream_tokens
from agents.model.logprobs import Scorer
from finemem_env.backends.local import count_streams, probe, side_by_side

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MakeModel = Callable[..., "PreTrainedModel"]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_tasks_run_at_once_and_return_in_order() -> None:
    first, second = threading.Event(), threading.Event()

    def wait() -> str:
        first.set()
        assert second.wait(20)
        return "one"

    def go() -> str:
        assert first.wait(20)
        second.set()
        return "two"

    assert side_by_side([wait, go]) == ["one", "two"]


def test_modes_and_threads_of_the_caller() -> None:
    def modes() -> tuple[bool, bool, bool, int]:
        return (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_num_threads(),
        )

    assert side_by_side([modes, modes]) == [(True, False, False, 1)] * 2
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert side_by_side([modes, modes]) == [(False, False, True, 1)] * 2
    with torch.inference_mode():
        assert side_by_side([modes, modes]) == [(False, True, False, 1)] * 2
    assert torch.get_num_threads() == 2


def test_an_error_is_the_callers_and_threads_are_given_back() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1 / 0, lambda: 1.0])
    assert torch.get_num_threads() == 2


def make_rows() -> list[Row]:
    draw = torch.Generator().manual_seed(3)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 300, (count,), generator=draw).tolist())

    rows = []
    for group in range(4):
        prefix = ids(30 + group)
        rows += [
            Row(prefix + ids(1 + i), ids(3 + i), advantage=float(i - 1), group=group)
            for i in range(4)
        ]
    return rows


def gradients(model: PreTrainedModel, rows: list[Row]) -> list[Tensor]:
    counts = Denominators.of(
        [len(r.completion) for r in rows], [1.0] * len(rows), max_completion_length=9
    )
    model.zero_grad()
    stats = accumulate_gradients(Scorer(model), rows, LossConfig(), counts, micro_tokens=160)
    assert stats.means()["tokens"] == sum(len(r.completion) for r in rows)
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_gradients_of_two_streams(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows, used = make_model(), make_rows(), []

    def watched(tasks: list[Callable[[], object]]) -> list[object]:
        used.append(len(tasks))
        assert model in probe._KNOWN  # not tried by one stream while another computes
        return side_by_side(tasks)

    monkeypatch.setattr(update, "side_by_side", watched)
    assert count_streams(model) == 2
    two, again = gradients(model, rows), gradients(model, rows)
    assert used == [2, 2]
    torch.set_num_threads(1)
    one = gradients(model, rows)
    assert used == [2, 2]
    assert max(float(g.abs().max()) for g in one) > 0
    for mine, same, other in zip(two, again, one, strict=True):
        assert mine.equal(same)  # to the bit
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


def test_gradients_add_to_what_is_there(make_model: MakeModel) -> None:
    model, rows = make_model(), make_rows()
    once = gradients(model, rows)
    counts = Denominators.of(
        [len(r.completion) for r in rows], [1.0] * len(rows), max_completion_length=9
    )
    accumulate_gradients(Scorer(model), rows, LossConfig(), counts, micro_tokens=160)
    for weight, gradient in zip(model.parameters(), once, strict=True):
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, 2 * gradient)


def test_streams_only_where_they_help(make_model: MakeModel) -> None:
    model = make_model()
    assert count_streams(model) == 2
    torch.set_num_threads(1)
    assert count_streams(model) == 1
    torch.set_num_threads(2)
    assert count_streams(torch.nn.Linear(2**13, 2**13, device="meta")) == 1


def test_the_budget_of_a_stream_splits_no_unit() -> None:
    rows = make_rows()  # units of 58 to 64 tokens, the padding included
    assert stream_tokens(rows, 1000, 2) == 375
    largest = stream_tokens(rows, 100, 2)
    assert 50 < largest <= 100
    assert stream_tokens(rows, 100, 2, share=False) == 37
    assert stream_tokens(rows, 10, 2) == 3  # too small for any of them anyway


_FAULTS = """
import resource, torch
from agents.model.allocator import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        [torch.ones(10 * 2**20) for _ in range(2)]  # 40 MB, more than glibc ever keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), keep_memory(), faults())
"""


def test_freed_memory_is_kept() -> None:
    """Pages that the kernel handed out once are not asked for again."""
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    )
    before, known, after = done.stdout.split()
    if known == "False":
        pytest.skip("another C library than glibc")
    assert int(after) < int(before) / 4

"""Parts of a job side by side: the same numbers, in the same order, whatever takes how long."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch
from torch import Tensor

from agents.learn import update
from agents.learn.loss import Denominators, LossConfig
from agents.learn.optimizer import make_optimizer
from agents.learn.update import accumulate_gradients
from agents.model.batching import Row, stream_tokens
from agents.model.logprobs import Scorer
from agents.settings import OptimizerConfig
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


def gradients(
    model: PreTrainedModel, rows: list[Row], autocast: torch.dtype | None = None
) -> list[Tensor]:
    counts = Denominators.of(
        [len(r.completion) for r in rows], [1.0] * len(rows), max_completion_length=9
    )
    model.zero_grad()
    scorer = Scorer(model, autocast=autocast)
    stats = accumulate_gradients(scorer, rows, LossConfig(), counts, micro_tokens=160)
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


def test_streams_share_no_casts_of_weights(make_model: MakeModel) -> None:
    """Autocast keeps them for the process, until any thread leaves it: at no time one can know."""
    model, rows = make_model(), make_rows()
    found = [gradients(model, rows, torch.bfloat16) for _ in range(12)]
    for again in found[1:]:
        assert all(mine.equal(other) for mine, other in zip(again, found[0], strict=True))
    kept = side_by_side([torch.is_autocast_cache_enabled] * 2)
    assert kept == [False, False]
    assert torch.is_autocast_cache_enabled()


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


def test_gradients_lie_as_their_weights_do(make_model: MakeModel) -> None:
    """The fused optimizer pairs numbers by their order in memory."""
    model: Any = make_model(tie=False)
    head, adam = model.lm_head, OptimizerConfig(lr=0.1)

    def turned(hidden: Tensor) -> Tensor:  # as some classes have their experts
        rows = hidden.reshape(1, -1, hidden.shape[-1])
        return torch.bmm(rows, head.weight[None].mT).view(*hidden.shape[:-1], -1)

    head.forward = turned
    gradients(model, make_rows())
    plain = torch.nn.Parameter(head.weight.detach().clone())
    plain.grad = head.weight.grad.clone(memory_format=torch.contiguous_format)
    make_optimizer(head, adam).step()
    betas = 0.9, adam.adam_beta2
    torch.optim.AdamW([plain], adam.lr, betas, weight_decay=adam.weight_decay).step()
    torch.testing.assert_close(head.weight, plain)


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


_HEAP = """
import ctypes
from agents.model.allocator import keep_memory
class Heap(ctypes.Structure):  # struct mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Heap
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
def given_back():
    block = libc.malloc(40 * 2**20)  # more than glibc ever keeps by itself
    full = libc.mallinfo2()
    libc.free(block)
    empty = libc.mallinfo2()
    return full.hblkhd - empty.hblkhd, full.arena - empty.arena
print(*given_back(), keep_memory(), *given_back())
"""


def test_freed_memory_is_kept() -> None:
    """A large block that is freed gives neither a mapping nor the end of the heap back.

    Asked of the allocator itself: page faults depend on how the heap came to be divided.
    """
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("another C library than glibc 2.33 or newer")
    done = subprocess.run([sys.executable, "-c", _HEAP], capture_output=True, text=True, check=True)
    mapped, shrunk, known, mapped_after, shrunk_after = done.stdout.split()
    assert known == "True"
    assert int(mapped) + int(shrunk) >= 40 * 2**20
    assert int(mapped_after) == int(shrunk_after) == 0

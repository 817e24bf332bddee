"""The last block adds what is read, and nothing is computed that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch
from torch import Tensor, nn

from agents.model.batching import Row, micro_batches
from agents.model.logprobs import Scorer
from finemem_env.backends import Sampling
from finemem_env.backends.local import (
    abilities,
    checkpoint_layers,
    last_positions,
    reading,
    sample,
    side_by_side,
)
from finemem_env.backends.local.last_block import narrow

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MakeModel = Callable[..., "PreTrainedModel"]
IDS = torch.tensor([[3, 10, 17, 24, 31], [5, 9, 8, 44, 2]])
POSITIONS = torch.tensor([2, 4, 9])


@pytest.fixture
def widths() -> list[tuple[int, int]]:
    """(batch, length) of what each feed-forward layer gets, filled by `watch`."""
    return []


def watch(model: Any, widths: list[tuple[int, int]]) -> None:  # noqa: ANN401
    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        widths.append((inputs[0].shape[0], inputs[0].shape[1]))

    for block in model.model.layers:
        block.mlp.register_forward_pre_hook(note)


def states(model: Any) -> Tensor:  # noqa: ANN401
    found: Tensor = model.base_model(input_ids=IDS).last_hidden_state.flatten(0, 1)
    return found


def test_what_is_read_is_right(make_model: MakeModel, widths: list[tuple[int, int]]) -> None:
    model = make_model()
    abilities(model)
    watch(model, widths)
    whole = states(model)
    with reading(IDS, POSITIONS):
        some = states(model)
    torch.testing.assert_close(some[POSITIONS], whole[POSITIONS])
    assert not torch.allclose(some, whole)  # the others are not
    torch.testing.assert_close(states(model), whole)  # outside, all are
    assert widths == [(2, 5), (2, 5), (2, 5), (1, 3), (2, 5), (2, 5)]


def test_scoring_and_sampling_read_what_they_need(
    make_model: MakeModel, widths: list[tuple[int, int]]
) -> None:
    model = make_model()
    abilities(model)
    watch(model, widths)
    prefix = tuple(range(5, 45))
    rows = [Row((*prefix, *range(6 + i, 9 + i)), (7, 9, 8, 5)[: 4 - i], group=0) for i in range(2)]
    (batch,) = micro_batches(rows, 1000)
    Scorer(model)(batch)
    # The prefix is read for its keys: of the last block one position, and of the rows the replies.
    assert widths[-4:] == [(1, 40), (1, 1), (2, 6), (1, 7)]
    sample(model, [row.prompt for row in rows], Sampling(0.0, max_tokens=1), groups=[0, 0])
    assert widths[-4:] == [(1, 40), (1, 1), (2, 3), (1, 2)]


def gradients(model: Any, positions: Tensor) -> list[Tensor]:  # noqa: ANN401
    model.zero_grad()
    states(model)[positions].square().sum().backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_gradients(make_model: MakeModel, checkpointed: bool) -> None:
    """A block that is computed again in the backward pass reads the same, though it is over."""
    model: Any = make_model()
    whole = gradients(model, POSITIONS)
    abilities(model)
    if checkpointed:
        checkpoint_layers(model)
    model.zero_grad()
    with reading(IDS, POSITIONS):
        some = states(model)
    some[POSITIONS].square().sum().backward()  # type: ignore[no-untyped-call]
    found = [p.grad for p in model.parameters() if p.grad is not None]
    assert max(float(g.abs().max()) for g in whole) > 0
    for mine, other in zip(found, whole, strict=True):
        torch.testing.assert_close(mine, other)


def test_every_stream_reads_its_own(make_model: MakeModel) -> None:
    model = make_model()
    abilities(model)
    whole = states(model)

    def part(positions: Tensor) -> Tensor:
        with reading(IDS, positions):
            return states(model)[positions]

    threads = torch.get_num_threads()
    wanted = [torch.tensor([1, 3]), torch.tensor([8])]
    found = side_by_side([lambda: part(wanted[0]), lambda: part(wanted[1])])
    assert torch.get_num_threads() == threads
    for mine, positions in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, whole[positions])


def test_layers_that_mix_positions_stay_whole(make_model: MakeModel) -> None:
    model: Any = make_model()
    layer = model.model.layers[-1].mlp
    plain = layer.forward
    layer.forward = lambda x: plain(x) + x.mean(dim=1, keepdim=True)
    assert not narrow(model, IDS)
    whole = states(model)
    with reading(IDS, POSITIONS):
        torch.testing.assert_close(states(model), whole)


def test_blocks_that_run_again_stay_whole(make_model: MakeModel) -> None:
    """What the first turn gives is read everywhere in the second."""
    model: Any = make_model()
    model.model.layers.append(model.model.layers[-1])
    model.config.num_hidden_layers += 1
    model.config.layer_types.append("full_attention")
    model.config.use_cache = False
    for parameter in model.model.layers[-1].mlp.parameters():
        parameter.data *= 1e-4  # too little to be seen in the numbers
    assert not narrow(model, IDS)
    assert not model.model.layers[-1].mlp._forward_pre_hooks


def test_copies_are_prepared_once(make_model: MakeModel) -> None:
    import copy

    model = make_model()
    assert narrow(model, IDS)
    other = copy.deepcopy(model)
    assert narrow(other, IDS)
    whole = states(other)
    with reading(IDS, last_positions(IDS)):
        some = states(other)
    torch.testing.assert_close(some[[4, 9]], whole[[4, 9]])

"""Prefixes that are kept once give what prefixes that are copied for every row give."""

from __future__ import annotations

import gc
import io
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from agents.model.batching import Row, micro_batches
from agents.model.logprobs import Scorer
from finemem_env.backends import Sampling
from finemem_env.backends.local import Sharing, Unit, abilities, sample
from finemem_env.backends.local.cache import PrefixedLayer, find_sharing, fix_capacity, select_rows
from finemem_env.backends.local.cascade import NAME
from finemem_env.backends.local.prefill import prefill

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MakeModel = Callable[..., "PreTrainedModel"]
LENGTHS = (7, 4, 9)  # of the prefixes
ROWS = {"even": (2, 2, 2), "uneven": (3, 1, 2)}
FRONT = (0, 3, 1, 0, 2, 1)  # padding before the own tokens of each row
OWN = 5


@pytest.fixture(autouse=True)
def plain_state() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def states(width: int, *shape: int) -> Tensor:
    return torch.randn(*shape, width, 8, generator=torch.Generator().manual_seed(width))


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "full"])
@pytest.mark.parametrize("rows", list(ROWS))
@pytest.mark.parametrize("queries", [OWN, 3, 1], ids=["reading", "the last ones", "one token"])
def test_attention_and_its_gradients(rows: str, padded: bool, queries: int) -> None:
    owner = torch.arange(3).repeat_interleave(torch.tensor(ROWS[rows]))
    lengths = torch.tensor(LENGTHS if padded else (9, 9, 9))
    seen = torch.arange(9) < lengths[:, None]
    own_seen = torch.arange(OWN) >= torch.tensor(FRONT if padded else (0,) * 6)[:, None]
    # Four heads of queries, two of keys and values.
    asked, keys, values = states(queries, 6, 4), states(9, 3, 2), states(9, 3, 2).flip(0)
    own, own_values = states(OWN, 6, 2), states(OWN, 6, 2).flip(0)
    leaves = [x.clone().requires_grad_() for x in (asked, keys, values, own, own_values)]
    sharing = Sharing(owner, seen, own_seen)
    if queries == 1:
        sharing.go_on(3)
    found = sharing.attend(leaves[0], (leaves[1], leaves[2]), (leaves[3], leaves[4]), 0.3)
    before = torch.ones(OWN, OWN, dtype=torch.bool).tril()[-queries:]
    mask = torch.cat([seen[owner][:, None].expand(-1, queries, -1), own_seen[:, None] & before], 2)
    copies = [x.clone().requires_grad_() for x in (asked, keys, values, own, own_values)]
    plain = scaled_dot_product_attention(
        copies[0],
        torch.cat([copies[1][owner], copies[3]], 2).repeat_interleave(2, 1),
        torch.cat([copies[2][owner], copies[4]], 2).repeat_interleave(2, 1),
        attn_mask=mask[:, None],
        scale=0.3,
    )
    real = own_seen[:, -queries:]
    weight = states(queries, 6, 4) * real[:, None, :, None]
    torch.testing.assert_close(found * real[:, None, :, None], plain * real[:, None, :, None])
    (found * weight).sum().backward()  # type: ignore[no-untyped-call]
    (plain * weight).sum().backward()  # type: ignore[no-untyped-call]
    for leaf, copy in zip(leaves, copies, strict=True):
        assert copy.grad is not None
        assert copy.grad.abs().max() > 0.01
        torch.testing.assert_close(leaf.grad, copy.grad, atol=1e-5, rtol=1e-4)


def test_rows_that_are_dropped_take_their_prefix_along() -> None:
    owner = torch.tensor([0, 0, 1, 1, 2, 2])
    seen = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    sharing = Sharing(owner, seen, torch.arange(OWN) >= torch.tensor(FRONT)[:, None])
    sharing.go_on(2)
    asked, prefix, own = states(1, 6, 4), states(9, 3, 2), states(OWN + 1, 6, 2)
    whole = sharing.attend(asked, (prefix, prefix), (own, own), 1.0)
    keep = torch.tensor([1, 4, 5])
    left = sharing.select(keep)
    assert left.tolist() == [0, 2]
    kept = prefix[left], prefix[left]
    some = sharing.attend(asked[keep], kept, (own[keep], own[keep]), 1.0)
    torch.testing.assert_close(some, whole[keep])


def prompts() -> tuple[list[list[int]], list[int]]:
    """Three groups of rows, with prefixes and tails of different length."""
    draw = torch.Generator().manual_seed(2)

    def ids(count: int) -> list[int]:
        return torch.randint(3, 300, (count,), generator=draw).tolist()

    groups = [(ids(40), (2, 5, 9)), (ids(33), (4, 1)), (ids(36), (3, 7))]
    rows = [[*prefix, *ids(count)] for prefix, counts in groups for count in counts]
    return rows, [0, 0, 0, 1, 1, 2, 2]


UNITS = [Unit((0, 1, 2), 40), Unit((3, 4), 33), Unit((5, 6), 36)]


def test_the_last_block_asks_for_what_is_read(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first token of a reply on, or the last one of a prompt."""
    asked: list[int] = []
    attend = Sharing.attend

    def note(self: Sharing, query: Tensor, *others: Any) -> Tensor:  # noqa: ANN401 - passed on
        asked.append(query.shape[2])
        return attend(self, query, *others)

    model = make_model()
    abilities(model)
    monkeypatch.setattr(Sharing, "attend", note)
    rows, groups = prompts()
    given = [Row(tuple(row), (5, 9), group=group) for row, group in zip(rows, groups, strict=True)]
    (batch,) = micro_batches(given, 1000)
    Scorer(model)(batch)
    assert asked == [10, 10]  # tails of 1 to 9 tokens: the first reply is predicted at once
    asked.clear()
    (batch,) = micro_batches(given[1:3], 1000)
    Scorer(model)(batch)
    assert asked == [10, 6]
    asked.clear()
    torch.set_num_threads(1)
    sample(model, rows, Sampling(0.0, max_tokens=2), groups=groups)
    assert asked == [9, 1, 1, 1]  # the prompts, then a token


def test_a_prefix_is_kept_once(make_model: MakeModel) -> None:
    model = make_model()
    assert abilities(model).cascade
    rows, _ = prompts()
    with torch.no_grad():
        state = prefill(model, rows, UNITS, 0, cascade=True)
    fix_capacity(state.cache, 3)
    layer: Any = state.cache.layers[0]
    assert layer.prefix[0].shape[::2] == (3, 40)  # units, positions
    assert layer.own.all_keys.shape[::2] == (7, 9 + 3)
    select_rows(state.cache, torch.tensor([3, 4]))
    sharing = find_sharing(state.cache)
    assert sharing is not None
    assert sharing.owner.tolist() == [0, 0]
    assert layer.prefix[0].shape[0] == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_replies_and_log_probabilities_are_those_of_copies(
    make_model: MakeModel, threads: int
) -> None:
    """With one thread and with two, which read halves of the prompts side by side."""
    torch.set_num_threads(threads)
    rows, groups = prompts()
    sampling = Sampling(1.0, max_tokens=9, seed=4)
    model = make_model()
    assert abilities(model).cascade
    found = sample(model, rows, sampling, stop_ids=range(3, 40), groups=groups)
    alone = sample(model, rows, sampling, stop_ids=range(3, 40))
    assert len({len(reply.token_ids) for reply in alone}) > 1
    for reply, other in zip(found, alone, strict=True):
        assert reply.token_ids == other.token_ids
        assert reply.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_under_autocast(make_model: MakeModel) -> None:
    model = make_model()
    rows, groups = prompts()
    given = [
        Row(tuple(row), (5, 9, 7), group=group) for row, group in zip(rows, groups, strict=True)
    ]
    scorer = Scorer(model, autocast=torch.bfloat16)
    assert abilities(model).cascade

    def scores(share: bool) -> Tensor:
        flat: dict[int, Tensor] = {}
        for batch in micro_batches(given, 4000, share=share):
            parts = scorer(batch, "none").logprobs.split(list(batch.lengths))
            flat |= dict(zip(batch.rows, parts, strict=True))
        return torch.cat([flat[i] for i in range(len(given))])

    shared = scores(True)
    torch.testing.assert_close(shared, scores(False), atol=0.1, rtol=0.05)
    shared.sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_class_with_attention_of_its_own_gets_copies(make_model: MakeModel) -> None:
    """And what is not understood, such as a soft cap, leaves the model as it was."""
    from transformers import AttentionInterface

    from finemem_env.backends.local import cascade

    def deaf(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - transformers' signature
        marked = hasattr(args[2], cascade._LAYER)
        return cascade.attend(*args, **kwargs, softcap=30.0 if marked else None)

    AttentionInterface.register(NAME, deaf)
    try:
        model = make_model()
        able = abilities(model)
    finally:
        AttentionInterface.register(NAME, cascade.attend)
    assert able.share
    assert not able.cascade
    assert model.config._attn_implementation == "sdpa"
    rows, groups = prompts()
    sampling = Sampling(0.0, max_tokens=3)
    found = sample(model, rows, sampling, groups=groups)
    assert [x.token_ids for x in found] == [x.token_ids for x in sample(model, rows, sampling)]


def test_a_torch_without_the_kernels_copies(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not of its API, so another version may lack them."""
    from finemem_env.backends.local import cascade

    def gone() -> None:
        raise AttributeError("no such kernel")

    monkeypatch.setattr(cascade, "_kernels", gone)
    model = make_model()
    able = abilities(model)
    assert able.share
    assert not able.cascade
    assert model.config._attn_implementation == "sdpa"


def test_attention_that_is_not_asked_for_is_noticed(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class may have an attention of its own, which sees a row's own keys alone."""
    from finemem_env.backends.local import cascade

    model: Any = make_model()
    for block in model.model.layers:
        block.self_attn.o_proj.weight.data.zero_()  # in whose numbers it does not show
    monkeypatch.setattr(cascade, "_LAYER", "nobody looks here")
    monkeypatch.setattr("finemem_env.backends.local.cache.mark", lambda keys, layer: keys)
    able = abilities(model)
    assert able.share
    assert not able.cascade


def test_a_class_whose_attention_cannot_be_set_says_nothing() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
    config = AutoConfig.for_model("falcon", **sizes, num_attention_heads=4)
    torch.manual_seed(0)
    auto: Any = AutoModelForCausalLM
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        able = abilities(auto.from_config(config).eval())
    finally:
        logger.removeHandler(handler)
    assert able.share
    assert not able.cascade
    assert said.getvalue() == ""


def test_padding_wider_than_a_part(make_model: MakeModel) -> None:
    """Halves are padded as the whole is, so that their rows fit into one cache."""
    torch.set_num_threads(2)
    model = make_model()
    rows, _ = prompts()
    with torch.no_grad():
        halves = prefill(model, rows, UNITS, 0, cascade=True)
        torch.set_num_threads(1)
        whole = prefill(model, rows, UNITS, 0, cascade=True)
    torch.testing.assert_close(halves.logits, whole.logits, atol=1e-4, rtol=1e-4)
    assert halves.mask.equal(whole.mask)
    assert halves.positions.equal(whole.positions)
    for mine, other in zip(halves.cache.layers, whole.cache.layers, strict=True):
        assert isinstance(mine, PrefixedLayer)
        assert isinstance(other, PrefixedLayer)
        torch.testing.assert_close(mine.own.keys, other.own.keys, atol=1e-4, rtol=1e-4)


def test_wide_masks_in_float64() -> None:
    """Whose kernel reads masks of float32 as if they were of its own type."""
    owner = torch.arange(3).repeat_interleave(2)
    seen = torch.arange(90) < torch.tensor((70, 40, 90))[:, None]
    own_seen = torch.arange(50) >= 7 * torch.tensor(FRONT)[:, None]
    asked, keys, own = (states(*shape).double() for shape in ((50, 6, 4), (90, 3, 2), (50, 6, 2)))
    sharing = Sharing(owner, seen, own_seen)
    found = sharing.attend(asked, (keys, keys.flip(0)), (own, own.flip(0)), 0.3)
    lower = torch.ones(50, 50, dtype=torch.bool).tril()
    mask = torch.cat([seen[owner][:, None].expand(-1, 50, -1), own_seen[:, None] & lower], 2)
    plain = scaled_dot_product_attention(
        asked,
        torch.cat([keys[owner], own], 2).repeat_interleave(2, 1),
        torch.cat([keys.flip(0)[owner], own.flip(0)], 2).repeat_interleave(2, 1),
        attn_mask=mask[:, None],
        scale=0.3,
    )
    real = own_seen[:, None, :, None]
    torch.testing.assert_close(found * real, plain * real)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_another_attention_set_later_reads_the_prefix_too(
    make_model: MakeModel, attention: str
) -> None:
    model: Any = make_model()
    rows, groups = prompts()
    sampling = Sampling(1.0, max_tokens=4, seed=3)
    before = sample(model, rows, sampling, groups=groups)
    assert abilities(model).cascade
    model.set_attn_implementation(attention)
    after = sample(model, rows, sampling, groups=groups)
    assert abilities(model).cascade == (attention == "sdpa")
    for one, other in zip(before, after, strict=True):
        assert other.token_ids == one.token_ids
        assert other.logprobs == pytest.approx(one.logprobs, abs=1e-4)


def test_a_cache_goes_with_its_batch(make_model: MakeModel) -> None:
    """Not when the garbage collector next looks for circles: it is as large as a batch."""
    model: Any = make_model()
    rows, groups = prompts()
    assert abilities(model).cascade
    gc.collect()
    gc.disable()
    try:
        sample(model, rows, Sampling(1.0, max_tokens=3, seed=3), groups=groups)
        assert not [part for part in gc.get_objects() if isinstance(part, PrefixedLayer)]
    finally:
        gc.enable()

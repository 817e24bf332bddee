"""Sampling keeps exact ids and the log-probabilities that the trainer computes for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch

from agents.model.batching import Row
from agents.model.logprobs import Scorer, score_rows
from finemem_env.backends import Sampling
from finemem_env.backends.local import abilities, packed, sample, with_cache
from finemem_env.backends.local.cache import fix_capacity, is_plain, select_rows
from finemem_env.backends.local.causal_lm import new_cache
from finemem_env.backends.local.decoding import SHRINK, pick
from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finemem_env.backends.sampler import Sample

MakeModel = Callable[..., "PreTrainedModel"]


def make_prompts(groups: int = 3, size: int = 4, shared: int = 24) -> tuple[list[Any], list[int]]:
    """Ragged prompts; the rows of a group share `shared` tokens."""
    rng = random.Random(0)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, 300) for _ in range(n))

    prompts = []
    for group in range(groups):
        prefix = ids(shared + 3 * group)
        prompts += [prefix + ids(rng.randint(0, 9)) for _ in range(size)]
    return prompts, [i // size for i in range(groups * size)]


def small_model(**more: Any) -> PreTrainedModel:  # noqa: ANN401
    """Random weights of a class that has what the packaged model lacks."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    usual: dict[str, Any] = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    return Qwen3ForCausalLM(Qwen3Config(**usual, **more))


def sliding_model() -> PreTrainedModel:
    """One layer that sees all tokens and one that sees the last eight."""
    model = small_model(
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=1,
        layer_types=["full_attention", "sliding_attention"],
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return model


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("kind", ["plain", "sliding"])
def test_sampler_and_trainer_agree(
    make_model: MakeModel, temperature: float, share: bool, kind: str
) -> None:
    model = make_model() if kind == "plain" else sliding_model()
    assert abilities(model).share == (kind == "plain")
    prompts, groups = make_prompts()
    found = sample(
        model,
        prompts,
        Sampling(temperature, max_tokens=12, seed=1),
        stop_ids=range(3, 30),
        groups=groups,
        share=share,
    )
    assert len({len(c.token_ids) for c in found}) > 2  # some stop early
    rows = [
        Row(p, c.token_ids, c.logprobs, group=g if share and kind == "plain" else None)
        for p, c, g in zip(prompts, found, groups, strict=True)
    ]
    scorer = Scorer(model, temperature=temperature)
    for row, logprobs in zip(rows, score_rows(scorer, rows, micro_tokens=300), strict=True):
        assert row.sampler_logprobs == pytest.approx(logprobs, abs=1e-4)


def test_against_a_plain_forward_pass(make_model: MakeModel) -> None:
    """Row by row, without padding, cache or sharing."""
    model = make_model()
    prompts, groups = make_prompts()
    found = sample(model, prompts, Sampling(0.7, max_tokens=8, seed=2), groups=groups)
    for prompt, completion in zip(prompts, found, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + completion.token_ids])).logits[0]
        scores = torch.log_softmax(logits[len(prompt) - 1 : -1] / 0.7, dim=-1)
        plain = scores[range(len(completion.token_ids)), list(completion.token_ids)]
        assert completion.logprobs == pytest.approx(plain.tolist(), abs=1e-4)
        assert not completion.finished


def test_greedy_equals_generate(make_model: MakeModel) -> None:
    model = make_model()
    prompts, groups = make_prompts()
    found = sample(model, prompts, Sampling(0.0, max_tokens=10), groups=groups)
    for prompt, completion in zip(prompts, found, strict=True):
        own: Any = model
        ids = own.generate(
            torch.tensor([prompt]), max_new_tokens=10, do_sample=False, eos_token_id=-1
        )
        assert list(completion.token_ids) == ids[0, len(prompt) :].tolist()


def test_draws_depend_on_seed_and_row_only(make_model: MakeModel) -> None:
    """Not on sharing, on the cut into batches, or on which rows have stopped."""
    model = make_model()
    prompts, groups = make_prompts()
    sampling, stops = Sampling(1.0, max_tokens=12, seed=1), range(3, 60)

    def draw(rows: list[Any] = prompts, **options: Any) -> list[Sample]:  # noqa: ANN401
        return sample(model, rows, options.pop("how", sampling), stop_ids=stops, **options)

    whole = draw(groups=groups)
    assert draw(groups=groups) == whole
    for other in (
        draw(),
        draw(groups=groups, share=False),
        draw(groups=groups, batch_tokens=100),
    ):
        assert [c.token_ids for c in other] == [c.token_ids for c in whole]
    assert [c.token_ids for c in draw(prompts[:5])] == [c.token_ids for c in whole[:5]]
    seeded = draw(how=Sampling(1.0, max_tokens=12, seed=2))
    assert [c.token_ids for c in seeded] != [c.token_ids for c in whole]


def test_stop_token_stays_and_ends(make_model: MakeModel) -> None:
    prompts, groups = make_prompts()
    stops = tuple(range(3, 60))
    sampling = Sampling(1.0, max_tokens=12, seed=1)
    found = sample(make_model(), prompts, sampling, stop_ids=stops, groups=groups)
    assert {c.finished for c in found} == {True, False}
    for completion in found:
        assert completion.finished == (completion.token_ids[-1] in stops)
        assert not set(completion.token_ids[:-1]) & set(stops)
        assert len(completion.logprobs) == len(completion.token_ids)
        assert completion.finished or len(completion.token_ids) == 12


def test_finished_rows_leave_the_batch(make_model: MakeModel) -> None:
    model: Any = make_model()
    abilities(model)  # tried before what is counted
    sizes: list[int] = []
    forward = model.forward

    def spy(**inputs: Any) -> object:  # noqa: ANN401
        sizes.append(len(inputs["input_ids"]))
        return forward(**inputs)

    model.forward = spy
    prompts, _ = make_prompts(4, 8)
    sample(model, prompts, Sampling(1.0, max_tokens=40, seed=1), stop_ids=range(3, 40))
    assert sizes[0] == 32
    assert sizes[-1] <= SHRINK * 32
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("alone", "most"), [(True, 4), (False, 4), (False, 6)])
def test_waiting_rows_take_the_places_of_finished_ones(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, alone: bool, most: int
) -> None:
    """The same replies in fewer passes: no batch waits for its longest row.

    Where every row has a prefix, prefixes are kept once, also of groups of which a part waits.
    """
    model: Any = make_model()
    abilities(model)  # tried before what is counted
    kept = Mock(wraps=packed._sharing)
    monkeypatch.setattr(packed, "_sharing", kept)
    forward, sizes = model.forward, list[int]()

    def spy(**inputs: Any) -> object:  # noqa: ANN401
        sizes.append(len(inputs["input_ids"]))
        return forward(**inputs)

    model.forward = spy
    prompts, groups = make_prompts()
    if alone:
        prompts, groups = [*prompts, (5, 6, 7)], [*groups, 9]  # one that shares nothing
    positions = most * (max(map(len, prompts)) + 30)  # a group has four rows

    def draw(**options: Any) -> tuple[list[Sample], list[int]]:  # noqa: ANN401
        sizes.clear()
        how = Sampling(1.0, max_tokens=30, seed=1)
        found = sample(model, prompts, how, stop_ids=range(3, 20), groups=groups, **options)
        return found, list(sizes)

    whole, _ = draw()
    lengths = [len(reply.token_ids) for reply in whole]
    assert min(lengths) < 5
    assert max(lengths) == 30
    _, passes = draw(batch_tokens=positions, refill=False)
    filled, fewer = draw(batch_tokens=positions)
    assert max(fewer) <= most
    assert len(fewer) < 0.8 * len(passes)
    assert kept.called != alone
    for reply, own in zip(filled, whole, strict=True):
        assert reply.token_ids == own.token_ids
        assert reply.finished == own.finished
        assert reply.logprobs == pytest.approx(own.logprobs, abs=1e-4)


def test_mode_of_the_model_is_kept(make_model: MakeModel) -> None:
    model: Any = make_model()
    for training in (True, False):
        model.train(training)
        sample(model, [(1, 2)], Sampling(max_tokens=2))
        assert model.training == training


def test_parts_of_a_model_keep_modes_of_their_own(make_model: MakeModel) -> None:
    model: Any = make_model()
    model.train()
    model.model.layers[0].eval()
    modes = [part.training for part in model.modules()]
    sample(model, [(1, 2)], Sampling(max_tokens=2))
    Scorer(model)
    assert [part.training for part in model.modules()] == modes


def testpick_follows_the_distribution() -> None:
    """Evenly spread draws give every token its share, and none to impossible ones."""
    logits = torch.tensor([[2.0, 0.0, -torch.inf, 1.0, -torch.inf]])
    draws = (torch.arange(10_000) + 0.5) / 10_000
    tokens, logprobs = pick(logits.expand(10_000, -1), draws, Sampling(0.5))
    shares = torch.bincount(tokens, minlength=5) / 10_000
    expected = torch.softmax(logits[0] / 0.5, dim=-1)
    torch.testing.assert_close(shares, expected, atol=2e-4, rtol=0)
    torch.testing.assert_close(logprobs.exp(), expected[tokens])
    for edge in (0.0, 1.0 - 2**-24):
        token, _ = pick(logits, torch.tensor([edge]), Sampling(1.0))
        assert int(token) in (0, 3)


def test_logits_that_are_no_numbers_give_a_reply_that_is_not_trained_on() -> None:
    logits = torch.tensor([[0.0, 1.0, torch.nan], [0.0, 1.0, 2.0]])
    for temperature in (0.0, 1.0):
        tokens, logprobs = pick(logits, torch.tensor([0.5, 0.5]), Sampling(temperature))
        assert tokens.max() < 3
        assert logprobs.isnan().tolist() == [True, False]


def test_fixed_cache_equals_the_growing_one(make_model: MakeModel) -> None:
    model: Any = make_model()
    ids = torch.randint(3, 300, (3, 7))
    outputs = []
    for fixed in (False, True):
        cache = new_cache(model)
        with torch.no_grad():
            model(input_ids=ids[:, :5], use_cache=True, **with_cache(model, cache))
            if fixed:
                fix_capacity(cache, 2)
                assert not is_plain(cache)
            select_rows(cache, torch.tensor([2, 0]))
            for step in (5, 6):
                step_ids = ids[[2, 0], step : step + 1]
                out = model(input_ids=step_ids, use_cache=True, **with_cache(model, cache))
        assert cache.get_seq_length() == 7
        outputs.append(out.logits)
    torch.testing.assert_close(*outputs)


def test_top_p_draws_from_the_nucleus_and_reports_the_whole(make_model: MakeModel) -> None:
    logits = torch.tensor([[2.0, 0.0, 1.5, 1.0]])
    draws = (torch.arange(10_000) + 0.5) / 10_000
    tokens, logprobs = pick(logits.expand(10_000, -1), draws, Sampling(1.0, top_p=0.7))
    whole = torch.softmax(logits[0], dim=-1)
    assert whole[0] < 0.7 < whole[0] + whole[2]
    shares = torch.bincount(tokens, minlength=4) / 10_000
    nucleus = torch.tensor([whole[0], 0.0, whole[2], 0.0]) / (whole[0] + whole[2])
    torch.testing.assert_close(shares, nucleus, atol=2e-4, rtol=0)
    torch.testing.assert_close(logprobs.exp(), whole[tokens])


def test_refusals(make_model: MakeModel) -> None:
    with pytest.raises(ConfigError, match="max_tokens"):
        Sampling(max_tokens=0)
    with pytest.raises(ConfigError, match="temperature"):
        Sampling(float("nan"))
    with pytest.raises(ConfigError, match="temperature must be a number, got 'hot'"):
        Sampling("hot")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"max_tokens must be an integer, got 2\.5"):
        Sampling(max_tokens=2.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one token"):
        sample(make_model(), [()], Sampling())
    assert sample(make_model(), [], Sampling()) == []


class _OldNames:
    """A module as transformers had them before 5.24."""

    def forward(self, past_key_values: object = None) -> None: ...


class _NewNames:
    def forward(self, cache: object = None) -> None: ...


def test_caches_go_in_under_either_name() -> None:
    cache: Any = object()
    assert with_cache(_OldNames(), cache) == {"past_key_values": cache}
    assert with_cache(_NewNames(), cache) == {"cache": cache}


def test_buffers_that_a_pass_replaces_can_be_written_to() -> None:
    """Dynamic positions make new ones while sampling is in inference mode; DDP writes to them."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    model = small_model(max_position_embeddings=16, rope_parameters=rope)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    sample(model, [range(3, 43)], Sampling(0.0, max_tokens=2))
    assert any(not before[name].equal(buffer) for name, buffer in model.named_buffers())
    for buffer in model.buffers():
        buffer.mul_(1.0)

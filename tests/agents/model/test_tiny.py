"""The small model and its tokenizer: size, open vocabulary, ordinary tokens for the grammar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch

from agents.model.tiny import ACTION_PHRASES, TinyConfig, build_model, train_tokenizer
from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ACTION = json.dumps(
    [
        {"op": "INSERT", "content": 'Zoë said "tea", 漢字 42.'},
        {"op": "INSERT", "content": "two\nlines"},
        {"op": "UPDATE", "id": "31", "content": "x"},
        {"op": "DELETE", "id": "7"},
    ],
    separators=(",", ":"),
    ensure_ascii=False,
)


@pytest.fixture(scope="module")
def large() -> PreTrainedTokenizerFast:
    words = [f"Person{i} moved to City{i % 37} on {i} May." for i in range(3000)]
    return train_tokenizer(words, vocab_size=1024)


def test_under_a_million_parameters(large: PreTrainedTokenizerFast) -> None:
    assert len(large) <= 1024
    model = build_model(large)
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    untied = build_model(large, TinyConfig(tie_embeddings=False))
    extra = sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in model.parameters())
    assert extra == len(large) * 128


def test_one_seed_one_model(tokenizer: PreTrainedTokenizerFast) -> None:
    before = torch.random.get_rng_state()
    first, second, other = (build_model(tokenizer, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_grammar_is_made_of_ordinary_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer(ACTION)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == ACTION
    for phrase in ACTION_PHRASES:
        (token,) = tokenizer(phrase)["input_ids"]
        assert token not in tokenizer.all_special_ids
    # Scaffolding costs one token for each of its eight pieces, close to none beside the content.
    plain = train_tokenizer(["On 12 May Anna moved to Paris."] * 20, vocab_size=320, phrases=())
    assert len(ids) < len(plain(ACTION)["input_ids"]) / 2


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    tokenizer = train_tokenizer(["abc"] * 3, vocab_size=300) if not CACHE else CACHE[0]
    CACHE[:] = [tokenizer]
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


CACHE: list[PreTrainedTokenizerFast] = []


def test_saved_and_loaded(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(ACTION)["input_ids"] == tokenizer(ACTION)["input_ids"]
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_a_vocabulary_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocab_size"):
        train_tokenizer(["a"], vocab_size=260)

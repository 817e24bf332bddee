"""A tiny model made from a config, with a tokenizer trained on the spot: no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CHATML = """\
{%- if tools %}<|im_start|>system
Tools: {{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking %}<think>{% endif %}{% endif %}"""


def make_model(folder: Path, *, tied: bool = False, seed: int = 0) -> None:
    """Write a Qwen3 of about 0.1M random parameters to `folder`."""
    torch = pytest.importorskip("torch", reason="needs the extra train")
    transformers = pytest.importorskip("transformers", reason="needs the extra train")
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Random weights of the usual size give a nearly flat distribution, which no test can tell
        # from another one.
        initializer_range=0.3,
    )
    model = transformers.Qwen3ForCausalLM(config)
    model.generation_config.do_sample = True  # transformers serve samples only then
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer() -> Any:  # noqa: ANN401
    """A byte-level BPE of 400 tokens with a ChatML template."""
    transformers = pytest.importorskip("transformers", reason="needs the extra train")
    tokenizers = pytest.importorskip("tokenizers")
    pre_tokenizers, decoders = tokenizers.pre_tokenizers, tokenizers.decoders
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = ["Answer: the red key opens the cellar. Used: 1, 2, 3", "Where does Mara live?"]
    tokenizer.train_from_iterator(texts * 20, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=1024,
    )
    fast.chat_template = CHATML
    return fast


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny chat model, embeddings untied."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model(folder)
    return folder


@pytest.fixture(scope="session")
def tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny chat model, embeddings tied."""
    folder = tmp_path_factory.mktemp("models") / "tied"
    make_model(folder, tied=True)
    return folder

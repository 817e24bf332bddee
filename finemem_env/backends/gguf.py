"""A GGUF file as a folder of transformers: float32 safetensors, config, tokenizer and template."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from finemem_env.errors import ConfigError

# What transformers and gguf raise for a file that is none, or of a model they do not know.
_FAULTS = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError)
_TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "4"},
]


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model and tokenizer of `file`, dequantised, into `folder`.

    Raises:
        ConfigError: not a GGUF file, an architecture that transformers cannot read from one, or a
            chat template that does not fit the tokenizer.
    """
    with _explained(file):
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        loaded = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )
        _check_template(tokenizer)
        _plain(loaded).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _plain(loaded: Any) -> Any:  # noqa: ANN401 - a transformers model
    """The same model without the mark of its quantisation, with which it refuses to be saved."""
    settings = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "architectures", "transformers_version"):
        settings.pop(name, None)
    with torch.device("meta"):  # no weights are drawn that are then overwritten
        model = type(loaded)(type(loaded.config)(**settings))
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    return model


def _check_template(tokenizer: Any) -> None:  # noqa: ANN401
    """A template must say what was said, in tokens that read back, and close a turn with the end.

    A tokenizer without a template passes: whoever needs one says so.

    Raises:
        ConfigError: it does not.
    """
    if not tokenizer.chat_template:
        return
    text: str = tokenizer.apply_chat_template(_TURNS, tokenize=False)
    opened: str = tokenizer.apply_chat_template(
        _TURNS[:2], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    faults = {
        "it leaves out a message": any(turn["content"] not in text for turn in _TURNS),
        "a reply does not go on where its prompt ends": not text.startswith(opened),
        "its text does not survive the tokenizer": tokenizer.decode(ids) != text,
        "a reply does not end with the end token": tokenizer.eos_token_id not in ids[-3:],
    }
    for fault, holds in faults.items():
        if holds:
            raise ConfigError(f"its chat template does not fit: {fault}")


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except (*_FAULTS, ConfigError, OSError, ValueError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            f"model {str(file)!r}: expected a GGUF file of a causal LM that transformers can "
            f"convert, such as Llama, Qwen2 or Qwen3 ({said[:300]})."
        ) from error

"""A model folder that is damaged or put together wrongly is one line, never a random model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

import torch
from safetensors.torch import load_file, save_file

from agents.model.policy import load_policy
from agents.settings import ModelConfig
from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def whole(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("model")
    make_model().save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _weights(folder: Path, change: Callable[[str, Any], tuple[str, Any]]) -> None:
    path = folder / "model.safetensors"
    changed = dict(change(*item) for item in load_file(path).items())
    save_file(changed, path, metadata={"format": "pt"})


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-99])


def _without_tokenizer(folder: Path) -> None:
    for path in [*folder.glob("tokenizer*"), *folder.glob("special*")]:
        path.unlink()


def _fewer_tokens(folder: Path) -> None:
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    _weights(folder, lambda name, t: (name, t[:200].clone() if len(t) == size else t))
    _config(folder, vocab_size=200)


def _template(text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda folder: _weights(folder, lambda name, t: (f"module.{name}", t)),
            r"its files lack \d+ of the weights of Qwen3ForCausalLM, such as ",
        ),
        (
            lambda folder: _config(folder, num_hidden_layers=3, layer_types=None),
            r"its files lack \d+ of the weights .*such as model\.layers\.2",
        ),
        (
            lambda folder: _config(folder, intermediate_size=32),
            r"\d+ of its weights have another size than its config\.json says, such as model",
        ),
        (_cut, "without remote code .*incomplete metadata"),
        (lambda folder: (folder / "config.json").write_text("[]"), "without remote code"),
        (_without_tokenizer, "it has no tokenizer"),
        (_fewer_tokens, r"the tokenizer has \d+ tokens and the model 200"),
        (
            lambda folder: _weights(folder, lambda name, t: (name, t * torch.nan)),
            "whose weights give no numbers: they are damaged, or overflow in float32",
        ),
        (_template("{{ messages[0].said.x }}"), "its chat template fails .*no attribute 'said'"),
        (_template("{% for m in messages %}"), "its chat template fails"),
        (_template("Reply."), "its chat template leaves out what the user says"),
    ],
)
def test_it_is_one_line(
    damage: Callable[[Path], Any], said: str, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    damage(folder)
    with pytest.raises(ConfigError, match=said) as caught:
        load_policy(ModelConfig(str(folder), device="cpu"))
    assert "\n" not in str(caught.value)


def test_a_padding_token_that_the_tokenizer_alone_has_is_not_fed(
    whole: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "model")
    size = json.loads((whole / "config.json").read_text())["vocab_size"]
    other: Any = type(tokenizer).from_pretrained(whole)
    other.add_special_tokens({"pad_token": "<a new one>"})
    while other.pad_token_id < size:
        other.add_tokens([f"<{len(other)}>"])
        other.add_special_tokens({"pad_token": f"<pad {len(other)}>"})
    other.save_pretrained(tmp_path / "model")
    policy = load_policy(ModelConfig(str(tmp_path / "model"), device="cpu"))
    assert policy.own.pad < size <= policy.tokenizer.pad_token_id
    drawn = policy.sample([(5, 6, 7), (8,)], max_new_tokens=2, temperature=1.0, seed=0)
    assert len(drawn) == 2


def test_a_model_of_which_nothing_is_trained_is_refused(whole: Path) -> None:
    pytest.importorskip("peft", reason="LoRA needs peft")
    with pytest.raises(ConfigError, match="frozen_layers: 2 leave nothing to train"):
        load_policy(ModelConfig(str(whole), device="cpu", lora_rank=2, frozen_layers=2))

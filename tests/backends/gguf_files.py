"""A tiny random Llama as a GGUF file, written by the gguf package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.backends.conftest import CHATML, make_tokenizer

__all__ = ["write_gguf"]

HEADS, KV_HEADS = 4, 2
_ENDS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
}
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(file: Path, *, arch: str = "llama", template: str | None = CHATML) -> Any:  # noqa: ANN401
    """Write the file; returns the model that is in it."""
    import gguf
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config)
    model.train(False)
    writer = gguf.GGUFWriter(file, arch)
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(len(tokenizer))
    _add_tokenizer(writer, tokenizer, template)
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight":  # tied
            writer.add_tensor(_name(name), _permuted(name, weight.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _add_tokenizer(writer: Any, tokenizer: Any, template: str | None) -> None:  # noqa: ANN401
    words = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    special = set(tokenizer.all_special_tokens) | {"<|im_start|>"}
    merges = tokenizer.backend_tokenizer.to_str()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([word for word, _ in words])
    writer.add_token_types([3 if word in special else 1 for word, _ in words])
    writer.add_token_merges(_merges(merges))
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    if template is not None:
        writer.add_chat_template(template)


def _merges(text: str) -> list[str]:
    return [" ".join(pair) for pair in json.loads(text)["model"]["merges"]]


def _name(name: str) -> str:
    """llama.cpp's name of a weight."""
    if name in _ENDS:
        return _ENDS[name]
    _, _, layer, *rest = name.split(".")
    return f"blk.{layer}.{_NAMES['.'.join(rest[:-1])]}.weight"


def _permuted(name: str, weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rows of queries and keys in llama.cpp's order of rotary pairs."""
    heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
    if heads is None:
        return weight
    rows, columns = weight.shape
    return (
        weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )

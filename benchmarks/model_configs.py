"""Small configs of transformers' causal LM classes, made from their defaults by the names of sizes.

Sizes have few names across two hundred classes, so a rule for a name serves most of them; what a
class needs besides stands in `EXTRA`. Configs inside a config are made small in the same way.
"""

from __future__ import annotations

import re
from typing import Any

from transformers import PreTrainedConfig

VOCABULARY = 64
_HEADS = 4
MOST_PARAMETERS = 30_000_000

# Name of a size (whole), and what it becomes; the first that fits counts.
_RULES: tuple[tuple[str, int], ...] = (
    (r"vocab_size.*|n_vocab|.*_vocab_size|vocab_size_.*", VOCABULARY),
    (r"pad_token_id", 0),
    (r"bos_token_id|decoder_start_token_id", 1),
    (r"eos_token_id", 2),
    (r"num_key_value_heads|.*_num_key_value_heads|multi_query_group_num|num_kv_heads", 2),
    (r"(num|n)_(attention_)?heads?|.*_attention_heads|n_head|num_head|.*n_heads", _HEADS),
    (r"(num_hidden_layers|n_layers?|num_layers|.*_layers)", 2),
    (
        r"hidden_size|d_model|n_embd|embed_dim|dim|.*_embed_dim|.*_hidden_size|(.*_)?embedding_size",
        32,
    ),
    (r"word_embed_proj_dim|attention_hidden_size|d_embed|emb_dim", 32),
    (r".*intermediate_size.*|.*ffn_dim|d_ff|d_inner|ffn_hidden_size|feed_forward_size", 48),
    (r".*ffn_size|dff|ff_dim", 48),
    (r"qk_head_dim", 16),  # of the two parts of a query, 8 each
    (r"(attention_)?head_dim|.*_head_dim|d_kv|d_head|attention_head_size|kv_channels", 8),
    (r"q_lora_rank|kv_lora_rank|.*_lora_rank", 16),
    (r"num_(local_)?experts|n_routed_experts|moe_num_experts|num_.*_experts", 4),
    (r"(num_experts_per_tok(en)?|moe_topk|moe_k|num_selected_experts|top_?k|.*_topk)", 2),
    (r"n_group|topk_group|num_expert_group|topk_groups", 1),
    (r"(sliding_window(_size)?|.*window_size|attention_chunk_size|local_attn.*_length)", 8),
    (r"state_size|ssm_state_size|mamba_d_state|.*_state_dim", 8),
)
_COMPILED = tuple((re.compile(pattern), size) for pattern, size in _RULES)
_UNSAID = {"head_dim": 8, "num_key_value_heads": 2}  # derived by some classes, missed by others
_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_MOST_LAYERS = 8
# What a class needs beside the rules, by model type.
EXTRA: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "codegen": {"rotary_dim": 4},
    "dory": {"num_hidden_layers": 6},
    "dots3_note": {"num_key_value_heads": 4},
    "dots3_note_text": {"num_key_value_heads": 4},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"head_dim": 16, "num_heads": 4, "n_groups": 1},
    "reformer": {"axial_pos_embds": False, "attn_layers": ["local", "local"]},
    "zamba2": {"mamba_headdim": 16, "n_mamba_heads": 4},
}


def small_config(kind: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A config of this class whose model has some ten thousand parameters.

    Raises:
        Exception: whatever the class says to sizes that do not fit it.
    """
    return kind(**_sizes(kind(), EXTRA.get(kind.model_type, {})))


def _sizes(config: PreTrainedConfig, extra: dict[str, Any]) -> dict[str, Any]:
    """Keywords of the same config, smaller."""
    held: dict[str, Any] = {**vars(config)}
    sizes: dict[str, Any] = {}
    for name, value in held.items():
        if isinstance(value, PreTrainedConfig):
            sizes[name] = {**_sizes(value, extra.get(name, {})), "model_type": value.model_type}
        elif isinstance(value, int) and not isinstance(value, bool):
            size = next((size for rule, size in _COMPILED if rule.fullmatch(name)), None)
            if size is not None and value > size:
                sizes[name] = size
    sizes |= {name: size for name, size in _UNSAID.items() if held.get(name, 0) is None}
    if "kv_lora_rank" in held:  # latent attention has keys for every head
        sizes["num_key_value_heads"] = _HEADS
    sizes |= _layers(held) | _TOKENS
    if "is_decoder" in held:
        sizes["is_decoder"] = True
    return sizes | {name: value for name, value in extra.items() if not isinstance(value, dict)}


def _layers(held: dict[str, Any]) -> dict[str, Any]:
    """As many blocks as show every kind of block, where there are kinds."""
    kinds = held.get("layer_types")
    if not isinstance(kinds, (list, tuple)) or not all(isinstance(kind, str) for kind in kinds):
        return {}
    count = max([2, *(list(kinds).index(kind) + 1 for kind in set(kinds))])
    if count > _MOST_LAYERS:
        return {}
    return {"num_hidden_layers": count, "layer_types": list(kinds[:count])}

"""A Qwen3-architecture model of under a million parameters, and a tokenizer trained on its texts.

Enough to learn the synthetic tasks on two CPU cores, with no download. The tokenizer is a
byte-level BPE, so its vocabulary is open. Pieces of the action grammar may be given as whole tokens
(`phrases`); they are ordinary tokens, never special ones, which decoding would drop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# ChatML, as Qwen writes it.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

ACTION_PHRASES = (
    '[{"op":"INSERT","content":"',
    '"},{"op":"INSERT","content":"',
    '[{"op":"UPDATE","id":"',
    '"},{"op":"UPDATE","id":"',
    '","content":"',
    '[{"op":"DELETE","id":"',
    '"},{"op":"DELETE","id":"',
    '[{"op":"SKIP"}]',
    '"}]',
)
# The first syllable of a capitalised word; its last consonant is not the onset of the next one.
SYLLABLE = r"[B-Z][aeiou](?:[bdkmnlprstx](?=[^aeiou]))?"
OBSERVATION_PHRASES = (
    '<chunk index="',
    '" of="',
    '" time="',
    '">\n',
    '\n</chunk>\n\n<memory items="',
    '" tokens="',
    '" budget="',
    "\n</memory>",
    "(empty)",
    " more items are not shown)",
)


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """Sizes of the model; the defaults give 0.8M parameters plus 128 per vocabulary entry."""

    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    context: int = 4096  # tokens
    tie_embeddings: bool = True  # vLLM's reload_weights gives wrong outputs when tied


def train_tokenizer(
    texts: Iterable[str], vocab_size: int = 1024, phrases: Sequence[str] = ACTION_PHRASES
) -> PreTrainedTokenizerFast:
    """Byte-level BPE with a ChatML template, digits one by one, trained on `texts`.

    Args:
        texts: what the model will read and write.
        vocab_size: entries in all: 256 bytes, 3 special tokens, the phrases, and merges.
        phrases: strings that become one ordinary token each.

    Raises:
        ConfigError: for a vocabulary too small to hold all bytes and phrases.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    smallest = 256 + 3 + len(phrases)
    if vocab_size < smallest:
        raise ConfigError(f"vocab_size: expected at least {smallest}, got {vocab_size}.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            # A name has the same ids at the start of a JSON string as in the middle of a text, and
            # is made of whole syllables: both make copying much easier to learn.
            pre_tokenizers.Split(Regex(r" (?=\p{Lu})"), behavior="isolated"),
            pre_tokenizers.Split(Regex(SYLLABLE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(phrases),
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(p, normalized=False, special=False) for p in phrases])
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(
    tokenizer: PreTrainedTokenizerFast, config: TinyConfig | None = None, *, seed: int = 0
) -> PreTrainedModel:
    """A randomly initialised float32 model for `tokenizer`; one seed, one set of weights."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    size = config or TinyConfig()
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden_size,
        "intermediate_size": size.intermediate_size,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.hidden_size // size.heads,
        "max_position_embeddings": size.context,
        "tie_word_embeddings": size.tie_embeddings,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "use_sliding_window": False,
        # The usual 0.02 is made for wide models; at this width copying is then learned late.
        "initializer_range": size.hidden_size**-0.5,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(Qwen3Config(**settings))

"""Text primitives that every other package shares: tokens, words, sentences, normal forms.

`primitives` has them, `cache` keeps what is derived from a text, `tokens` counts by name, `ties`
breaks ties.
"""

from finemem_env.text.cache import TextCache
from finemem_env.text.primitives import (
    approx_tokens,
    normalise,
    parse_example,
    split_sentences,
    words,
)
from finemem_env.text.search_terms import sentence_key
from finemem_env.text.ties import tie_key, tie_keys
from finemem_env.text.tokens import make_counter

__all__ = [
    "TextCache",
    "approx_tokens",
    "make_counter",
    "normalise",
    "parse_example",
    "sentence_key",
    "split_sentences",
    "tie_key",
    "tie_keys",
    "words",
]

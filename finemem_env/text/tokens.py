"""Token counters by name: "approx" needs nothing, "hf:PATH" reads a local tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from finemem_env.errors import ConfigError
from finemem_env.extras import load
from finemem_env.text.primitives import approx_tokens


@lru_cache(maxsize=8)
def make_counter(tokenizer: str) -> Callable[[str], int]:
    """Function text → token count for the `tokenizer` keyword.

    Args:
        tokenizer: "approx" (`text.approx_tokens`) or "hf:PATH", a folder that holds a
            `tokenizer.json` or that file itself, read with the `tokenizers` package.

    Raises:
        ConfigError: another name, a missing file, or `tokenizers` is not installed.
    """
    if tokenizer == "approx":
        return approx_tokens
    kind, _, path = str(tokenizer).partition(":")
    if kind != "hf" or not path:
        raise ConfigError(f'tokenizer: expected "approx" or "hf:PATH", got {tokenizer!r}.')
    file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise ConfigError(
            f"tokenizer: no tokenizer.json at {file}; save one there with "
            "transformers' save_pretrained, or use tokenizer='approx'."
        )
    tokenizers = load("tokenizers", 'tokenizer "hf:PATH"')
    loaded = tokenizers.Tokenizer.from_file(str(file))

    def count(text: str) -> int:
        return len(loaded.encode(text, add_special_tokens=False).ids)

    return count

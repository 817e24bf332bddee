"""The packaged small model: weights, tokenizer, and the record of how they were made."""

from __future__ import annotations

from pathlib import Path

__all__ = ["tiny_folder"]


def tiny_folder() -> Path:
    """The transformers folder of the warm-started model."""
    return Path(__file__).resolve().parent / "tiny"

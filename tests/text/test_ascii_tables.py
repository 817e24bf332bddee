"""ASCII text takes tables of bytes; what they give is what the patterns of any other text give."""

from __future__ import annotations

import random
import re

from finemem_env.text import approx_tokens, words
from finemem_env.text.folding import fold, shown

_COUNTED = re.compile(r"[^\W_]+|[^\s\x1c-\x1f]", re.ASCII)
_WORD = re.compile(r"[^\W_]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")


def test_tables_and_patterns_agree_on_every_ascii_text() -> None:
    draw = random.Random(0)
    marks = [chr(code) for code in range(128)] + list("ab1 ._\n") * 12
    for _ in range(4000):
        text = "".join(draw.choices(marks, k=draw.randrange(14)))
        plain = _CONTROL.sub("", text)
        assert approx_tokens(text) == max(len(_COUNTED.findall(text)), -(-len(text) // 4)), text
        assert shown(text) == plain
        assert fold(text) == plain.lower()
        assert words(text) == _WORD.findall(plain.lower())

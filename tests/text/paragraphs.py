"""Two paragraphs with questions in fourteen languages, written for these tests.

All languages say the same, so that their scores can be compared. Every gold answer is a stretch of
its paragraph, and the paragraphs hold what a sentence splitter stumbles on: initials, titles, dates
with ordinals, decimals, quotations.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["LANGUAGES", "PARAGRAPHS", "Paragraph"]


class Paragraph(NamedTuple):
    """One paragraph: its language (ISO 639-1), sentences, and (question, gold answer) pairs."""

    language: str
    sentences: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The sentences in a row, as the language writes them."""
        return ("" if self.language in ("zh", "ja") else " ").join(self.sentences)


def _parse(block: str) -> Paragraph:
    """A line "# language", one sentence a line, then lines "? question | answer"."""
    head, *lines = block.splitlines()
    asked = [line[1:].split("|") for line in lines if line.startswith("?")]
    return Paragraph(
        head.removeprefix("# "),
        tuple(line for line in lines if not line.startswith("?")),
        tuple((question.strip(), gold.strip()) for question, gold in asked),
    )


_FILE = Path(__file__).with_name("paragraphs.txt")
PARAGRAPHS = tuple(map(_parse, _FILE.read_text("utf-8").strip().split("\n\n")))
LANGUAGES = tuple(dict.fromkeys(paragraph.language for paragraph in PARAGRAPHS))

"""CSAbstruct: sentences of computer science abstracts and their role, 5 labels.

One line of the publisher's train.jsonl, dev.jsonl and test.jsonl:

    {"abstract_id": 0, "sentences": ["Gamification has the potential to …", "Our objective …"],
     "labels": ["background", "objective"], "confs": [1.0, 1.0]}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Pool, Pools, make_pool
from finemem_env.data.files import parsed, read_jsonl

__all__ = ["CSAbstructSource"]


class CSAbstructSource(LabelledSource):
    """Sentences of abstracts; the publisher's own train, dev and test."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 5}

    def pools(self) -> Pools:
        """Examples from train, questions from the split."""
        file = "dev" if self.config.split == "val" else self.config.split
        shown = parsed(_parse, self.files("csabstruct/train.jsonl")[0], self.hint)
        asked = parsed(_parse, self.files(f"csabstruct/{file}.jsonl")[0], self.hint)
        return Pools(shown, asked)


def _parse(path: Path, hint: str) -> Pool:
    pairs: list[tuple[str, str]] = []
    for record in read_jsonl(path, hint):
        sentences, labels = record.texts("sentences"), record.texts("labels")
        if len(sentences) != len(labels):
            raise record.error("labels", f"{len(sentences)} labels, one a sentence")
        pairs += zip(sentences, labels, strict=True)
    return make_pool(pairs)

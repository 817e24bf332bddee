"""BANKING77: messages of a bank's customers and their intent, 77 labels.

One record of the publisher's train.csv and test.csv:

    text,category
    I am still waiting on my card?,card_arrival

There is no validation file: val asks a tenth of train.csv that no split shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Pool, Pools, make_pool
from finemem_env.data.files import bucket, parsed, read_csv

__all__ = ["Banking77Source"]


class Banking77Source(LabelledSource):
    """Customer messages; examples from nine tenths of train.csv."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 10}

    def pools(self) -> Pools:
        """Train asks what it may show, val the other tenth of train.csv, test test.csv."""
        shown, tenth = parsed(_parse, self.files("banking77/train.csv")[0], self.hint)
        if self.config.split == "train":
            return Pools(shown, shown)
        if self.config.split == "val":
            return Pools(shown, tenth)
        kept, rest = parsed(_parse, self.files("banking77/test.csv")[0], self.hint)
        return Pools(shown, {label: texts + rest.get(label, ()) for label, texts in kept.items()})


def _parse(path: Path, hint: str) -> tuple[Pool, Pool]:
    """(nine tenths, the tenth that a hash of the text picks) of a file."""
    pairs = [
        (row.text("text"), row.text("category"))
        for row in read_csv(path, ("text", "category"), hint)
    ]
    kept = [pair for pair in pairs if bucket(pair[0], 10) < 9]
    return make_pool(kept), make_pool([pair for pair in pairs if bucket(pair[0], 10) == 9])

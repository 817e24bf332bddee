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

from finemem_env.data.adapters.labelled import LabelledSource, Parts, Pool, make_pool
from finemem_env.data.files import Reading, bucket, parsed, read_csv


class Banking77Source(LabelledSource):
    """Customer messages; examples from nine tenths of train.csv."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 10}

    def parts(self) -> Parts:
        """Nine tenths of train.csv, the other tenth, and test.csv."""
        train, val = parsed(_parse_train, self.file("banking77/train.csv"), self.reading)
        test = parsed(_parse_test, self.file("banking77/test.csv"), self.reading)
        return Parts(train, val, test)


def _parse_train(path: Path, reading: Reading) -> tuple[Pool, Pool]:
    """(nine tenths, the tenth that a hash of the text picks) of the training file."""
    pairs = _pairs(path, reading)
    kept = [pair for pair in pairs if bucket(pair[0], 10) < 9]
    return make_pool(kept), make_pool([pair for pair in pairs if bucket(pair[0], 10) == 9])


def _parse_test(path: Path, reading: Reading) -> Pool:
    return make_pool(_pairs(path, reading))


def _pairs(path: Path, reading: Reading) -> list[tuple[str, str]]:
    rows = read_csv(path, ("text", "category"), reading)
    return reading.each(lambda row: (row.text("text"), row.text("category")), rows)

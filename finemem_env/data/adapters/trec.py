"""TREC question classification: questions and what they ask for, 6 coarse or 50 fine labels.

One line of the publisher's train_5500.label and TREC_10.label (Latin-1), "<coarse>:<fine> <text>":

    DESC:manner How did serfdom develop in and then leave Russia ?

The training file is for training and validation, TREC_10 for testing. The files share a dozen
questions, which are left out of training.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Parts, Pool, make_pool
from finemem_env.data.adapters.leaks import without_published
from finemem_env.data.files import Reading, bucket, parsed, read_lines
from finemem_env.errors import DataError
from finemem_env.text import normalise

_LINE = re.compile(r"([A-Z]+):(\w+) (.+)")


class TrecSource(LabelledSource):
    """Questions labelled by kind, "trec_coarse" or "trec_fine".

    Knobs: `labels` (6, of the fine ones 20); `exclude` (""), a folder or file of MemoryAgentBench
    whose questions are kept out of training and validation.
    """

    knobs: ClassVar[Mapping[str, object]] = {"labels": 6, "exclude": ""}

    def parts(self) -> Parts:
        """Nine tenths of the training file, the other tenth (shown in "test"), and TREC_10."""
        fine = bool(self.spec.options.get("fine"))
        read = _parse_fine if fine else _parse
        training = parsed(read, self.file("trec/train_5500.label"), self.reading)
        test = parsed(read, self.file("trec/TREC_10.label"), self.reading)
        if self.config.split == "test":
            return Parts(training, Pool({}), test)
        training = without_published(training, str(self.difficulty["exclude"]), self.reading)
        val = training.where(lambda text: bucket(normalise(text), 10) == 9)
        return Parts(training.without(val.keys), val, test)


class FineTrecSource(TrecSource):
    """The same with the fine labels."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 20, "exclude": ""}


def _parse(path: Path, reading: Reading, *, fine: bool = False) -> Pool:
    def pair(numbered: tuple[int, str]) -> tuple[str, str]:
        number, line = numbered
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(
                f"{path}, line {number}: expected '<COARSE>:<fine> <question>', found "
                f"{line[:60]!r}. {reading.hint}"
            )
        return match[3], f"{match[1]}:{match[2]}" if fine else match[1]

    numbered = enumerate(read_lines(path, reading, encoding="latin-1"), start=1)
    entries = [entry for entry in numbered if entry[1].strip()]
    pairs = reading.each(pair, entries)
    if not entries:
        raise DataError(f"{path}: expected at least one question, found none. {reading.hint}")
    return make_pool(pairs)


_parse_fine = partial(_parse, fine=True)

"""TREC question classification: questions and what they ask for, 6 coarse or 50 fine labels.

One line of the publisher's train_5500.label and TREC_10.label (Latin-1), "<coarse>:<fine> <text>":

    DESC:manner How did serfdom develop in and then leave Russia ?

The training file is for training and validation, TREC_10 for testing, so that no question that is
tested on is ever trained on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Pool, Pools, make_pool
from finemem_env.data.adapters.leaks import without_published
from finemem_env.data.files import bucket, parsed, read_lines
from finemem_env.errors import DataError
from finemem_env.text import normalise

__all__ = ["FineTrecSource", "TrecSource"]

_LINE = re.compile(r"([A-Z]+):(\w+) (.+)")


class TrecSource(LabelledSource):
    """Questions labelled by kind, "trec_coarse" or "trec_fine".

    Knobs: `labels` (6, of the fine ones 20); `exclude` (""), a folder or file of MemoryAgentBench
    whose questions are kept out of training and validation.
    """

    knobs: ClassVar[Mapping[str, object]] = {"labels": 6, "exclude": ""}

    def pools(self) -> Pools:
        """Examples and questions of the split."""
        fine = bool(self.spec.options.get("fine"))
        read = _parse_fine if fine else _parse_coarse
        training = parsed(read, self.files("trec/train_5500.label")[0], self.hint)
        if self.config.split == "test":
            return Pools(training, parsed(read, self.files("trec/TREC_10.label")[0], self.hint))
        training = without_published(training, str(self.difficulty["exclude"]), self.hint)
        parts = {part: _part(training, part == "val") for part in ("train", "val")}
        return Pools(parts["train"], parts[self.config.split])


class FineTrecSource(TrecSource):
    """The same with the fine labels."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 20, "exclude": ""}


def _part(pool: Pool, val: bool) -> Pool:
    """The tenth of `pool` that is for validation, or the rest."""
    found = {
        label: tuple(text for text in texts if (bucket(normalise(text), 10) == 9) == val)
        for label, texts in pool.items()
    }
    return {label: texts for label, texts in found.items() if texts}


def _parse_coarse(path: Path, hint: str) -> Pool:
    return _parse(path, hint, fine=False)


def _parse_fine(path: Path, hint: str) -> Pool:
    return _parse(path, hint, fine=True)


def _parse(path: Path, hint: str, *, fine: bool) -> Pool:
    pairs = []
    for number, line in enumerate(read_lines(path, hint, encoding="latin-1"), start=1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise DataError(
                f"{path}, line {number}: expected '<COARSE>:<fine> <question>', found "
                f"{line[:60]!r}. {hint}"
            )
        pairs.append((found[3], f"{found[1]}:{found[2]}" if fine else found[1]))
    if not pairs:
        raise DataError(f"{path}: expected at least one question, found none. {hint}")
    return make_pool(pairs)

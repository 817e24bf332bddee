"""CSAbstruct: sentences of computer science abstracts and their role, 5 labels.

One line of the publisher's train.jsonl, dev.jsonl and test.jsonl:

    {"abstract_id": 0, "sentences": ["Gamification has the potential to …", "Our objective …"],
     "labels": ["background", "objective"], "confs": [1.0, 1.0]}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Parts, Pool, make_pool
from finemem_env.data.files import Reading, parsed, read_jsonl
from finemem_env.fields import Fields


class CSAbstructSource(LabelledSource):
    """Sentences of abstracts; the publisher's own train, dev and test."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 5}

    def parts(self) -> Parts:
        """The publisher's own."""
        files = [self.file(f"csabstruct/{part}.jsonl") for part in ("train", "dev", "test")]
        return Parts(*(parsed(_parse, file, self.reading) for file in files))


def _parse(path: Path, reading: Reading) -> Pool:
    abstracts = reading.each(_abstract, read_jsonl(path, reading))
    return make_pool([pair for abstract in abstracts for pair in abstract])


def _abstract(record: Fields) -> list[tuple[str, str]]:
    sentences, labels = record.texts("sentences"), record.texts("labels")
    if len(sentences) != len(labels):
        raise record.error("labels", f"{len(sentences)} labels, one a sentence")
    return list(zip(sentences, labels, strict=True))

"""NLU evaluation data: requests to a home assistant, 68 intents.

The publisher's AnnotatedData/NLU-Data-Home-Domain-Annotated-All.csv, separated by semicolons:

    userid;answerid;scenario;intent;status;answer_annotation;notes;suggested_entities;\
answer_normalised;answer;question
    1;1;alarm;set;;wake me up at [time : five am] [date : this week];;;wake me up at five am this \
week;wake me up at five am this week;Write what you would tell your PDA …

The label is "<scenario>_<intent>". The file is split 80/10/10 by a hash of the request, so that no
request that is tested on is ever shown or asked in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Pool, Pools, make_pool
from finemem_env.data.adapters.leaks import without_published
from finemem_env.data.files import bucket, parsed, read_csv
from finemem_env.text import normalise

__all__ = ["NluSource"]

_FILE = "nlu/NLU-Data-Home-Domain-Annotated-All.csv"


class NluSource(LabelledSource):
    """Requests labelled by intent.

    Knobs: `labels` (20); `exclude` (""), a folder or file of MemoryAgentBench whose questions are
    kept out of training and validation.
    """

    knobs: ClassVar[Mapping[str, object]] = {"labels": 20, "exclude": ""}

    def pools(self) -> Pools:
        """Examples from the training part, questions from the split's."""
        parts = parsed(_parse, self.files(_FILE)[0], self.hint)
        train, asked = parts["train"], parts[self.config.split]
        if self.config.split == "test":
            return Pools(train, asked)
        path = str(self.difficulty["exclude"])
        shown = without_published(train, path, self.hint)
        same = self.config.split == "train"
        return Pools(shown, shown if same else without_published(asked, path, self.hint))


def _parse(path: Path, hint: str) -> dict[str, Pool]:
    columns = ("scenario", "intent", "answer")
    pairs: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    for row in read_csv(path, columns, hint, delimiter=";"):
        text = row.text("answer", "")
        part = bucket(normalise(text), 10)
        split = "train" if part < 8 else "val" if part == 8 else "test"
        pairs[split].append((text, f"{row.text('scenario')}_{row.text('intent')}"))
    return {split: make_pool(found) for split, found in pairs.items()}

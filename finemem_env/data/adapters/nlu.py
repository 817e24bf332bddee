"""NLU evaluation data: requests to a home assistant, 68 intents.

The publisher's AnnotatedData/NLU-Data-Home-Domain-Annotated-All.csv, separated by semicolons:

    userid;answerid;scenario;intent;status;answer_annotation;notes;suggested_entities;\
answer_normalised;answer;question
    1;1;alarm;set;;wake me up at [time : five am] [date : this week];;;wake me up at five am this \
week;wake me up at five am this week;Write what you would tell your PDA …

The label is "<scenario>_<intent>". Rows whose status starts with IRR are left out, as the publisher
asks, and so is the answer "null", which stands where there is none. The file is split 80/10/10 by a
hash of the request, so that no request that is tested on is ever shown or asked in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Parts, make_pool
from finemem_env.data.adapters.leaks import without_published
from finemem_env.data.files import Reading, parsed, read_csv, split_of
from finemem_env.fields import Fields
from finemem_env.text import normalise

_FILE = "nlu/NLU-Data-Home-Domain-Annotated-All.csv"


class NluSource(LabelledSource):
    """Requests labelled by intent.

    Knobs: `labels` (20); `exclude` (""), a folder or file of MemoryAgentBench whose questions are
    kept out of training and validation.
    """

    knobs: ClassVar[Mapping[str, object]] = {"labels": 20, "exclude": ""}

    def parts(self) -> Parts:
        """Three parts of the file, the first two without what MemoryAgentBench asks."""
        parts = parsed(_parse, self.file(_FILE), self.reading)
        path = str(self.difficulty["exclude"])
        return Parts(
            without_published(parts.train, path, self.reading),
            without_published(parts.val, path, self.reading),
            parts.test,
        )


def _parse(path: Path, reading: Reading) -> Parts:
    columns = ("scenario", "intent", "answer")
    pairs: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    requests = filter(_is_request, read_csv(path, columns, reading, delimiter=";"))
    for text, label in reading.each(_pair, requests):
        pairs[split_of(normalise(text))].append((text, label))
    return Parts(**{split: make_pool(texts) for split, texts in pairs.items()})


def _is_request(row: Fields) -> bool:
    """False for rows that the publisher marks as irrelevant (IRR_XL, IRR_XR), and for no answer."""
    text, status = str(row.get("answer") or "").strip(), str(row.get("status") or "").strip()
    return bool(text) and text.casefold() != "null" and not status.upper().startswith("IRR")


def _pair(row: Fields) -> tuple[str, str]:
    return row.text("answer"), f"{row.text('scenario')}_{row.text('intent')}"

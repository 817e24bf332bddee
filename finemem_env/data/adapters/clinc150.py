"""CLINC150: requests to an assistant and their intent, 150 labels; out-of-scope requests left out.

The publisher's data_full.json:

    {"train": [["what expression would i use to say i love you if i were an italian", "translate"],
               …], "val": [["in spanish, meet me tomorrow is said how", "translate"], …],
     "test": […], "oos_train": [["how much has the dow changed today", "oos"], …], …}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Parts, Pool, make_pool
from finemem_env.data.files import Reading, parsed, read_json
from finemem_env.data.source import SPLITS
from finemem_env.fields import Fields


class Clinc150Source(LabelledSource):
    """Requests to an assistant; the publisher's own train, val and test."""

    # 100 short training texts a label: ten labels would not always fill ten chunks.
    knobs: ClassVar[Mapping[str, object]] = {"labels": 20}

    def parts(self) -> Parts:
        """The publisher's own."""
        return parsed(_parse, self.file("clinc150/data_full.json"), self.reading)


def _parse(path: Path, reading: Reading) -> Parts:
    fields = Fields(read_json(path, reading), str(path), hint=reading.hint)

    def pool(split: str) -> Pool:
        pairs = reading.each(lambda entry: _pair(entry, fields, split), fields.items(split))
        return make_pool(pairs)

    return Parts(*map(pool, SPLITS))


def _pair(entry: object, fields: Fields, key: str) -> tuple[str, str]:
    if isinstance(entry, list) and len(entry) == 2:
        text, label = entry
        if isinstance(text, str) and isinstance(label, str):
            return text, label
    raise fields.error(key, "a list of [text, intent] pairs", entry)

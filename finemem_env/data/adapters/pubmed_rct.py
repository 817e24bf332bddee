"""PubMed 200k RCT: sentences of medical abstracts and their section, 5 labels.

Lines of the publisher's train.txt, dev.txt and test.txt (also of the 20k subset, and of the copies
with numbers replaced by "@"); an abstract ends at an empty line:

    ###24293578
    OBJECTIVE<tab>To investigate the efficacy of 6 weeks of daily low-dose oral prednisolone …
    METHODS<tab>A total of 125 patients with primary knee OA were randomized …

10 chunks of U(1024, 2048) tokens, as in Mem-α (arXiv 2509.25911).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from finemem_env.data.adapters.labelled import LabelledSource, Parts, Pool, make_pool
from finemem_env.data.files import Reading, parsed, read_lines
from finemem_env.errors import DataError

_SECTIONS = frozenset(("BACKGROUND", "OBJECTIVE", "METHODS", "RESULTS", "CONCLUSIONS"))


class PubMedSource(LabelledSource):
    """Sentences of abstracts; the publisher's own train, dev and test."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 5}
    chunk_tokens: ClassVar[tuple[int, int]] = (1024, 2048)

    def parts(self) -> Parts:
        """The publisher's own."""
        files = [self.file(f"pubmed_rct/{part}.txt") for part in ("train", "dev", "test")]
        return Parts(*(parsed(_parse, file, self.reading) for file in files))


def _parse(path: Path, reading: Reading) -> Pool:
    def pair(numbered: tuple[int, str]) -> tuple[str, str]:
        number, line = numbered
        section, tab, sentence = line.partition("\t")
        if not tab or section not in _SECTIONS:
            raise DataError(
                f"{path}, line {number}: expected a section ({', '.join(sorted(_SECTIONS))}), a "
                f"tab and a sentence, found {line[:60]!r}. {reading.hint}"
            )
        return sentence, section

    numbered = enumerate(read_lines(path, reading), start=1)
    entries = [entry for entry in numbered if entry[1].strip() and not entry[1].startswith("###")]
    pairs = reading.each(pair, entries)
    if not entries:
        raise DataError(f"{path}: expected at least one sentence, found none. {reading.hint}")
    return make_pool(pairs)

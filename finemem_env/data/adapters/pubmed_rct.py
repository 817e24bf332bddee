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

from finemem_env.data.adapters.labelled import LabelledSource, Pool, Pools, make_pool
from finemem_env.data.files import parsed, read_lines
from finemem_env.errors import DataError

__all__ = ["PubMedSource"]

_SECTIONS = frozenset(("BACKGROUND", "OBJECTIVE", "METHODS", "RESULTS", "CONCLUSIONS"))


class PubMedSource(LabelledSource):
    """Sentences of abstracts; the publisher's own train, dev and test."""

    knobs: ClassVar[Mapping[str, object]] = {"labels": 5}
    chunk_tokens: ClassVar[tuple[int, int]] = (1024, 2048)

    def pools(self) -> Pools:
        """Examples from train, questions from the split."""
        file = "dev" if self.config.split == "val" else self.config.split
        shown = parsed(_parse, self.files("pubmed_rct/train.txt")[0], self.hint)
        asked = parsed(_parse, self.files(f"pubmed_rct/{file}.txt")[0], self.hint)
        return Pools(shown, asked)


def _parse(path: Path, hint: str) -> Pool:
    pairs = []
    for number, line in enumerate(read_lines(path, hint), start=1):
        if not line.strip() or line.startswith("###"):
            continue
        section, tab, sentence = line.partition("\t")
        if not tab or section not in _SECTIONS:
            raise DataError(
                f"{path}, line {number}: expected a section ({', '.join(sorted(_SECTIONS))}), a "
                f"tab and a sentence, found {line[:60]!r}. {hint}"
            )
        pairs.append((sentence, section))
    if not pairs:
        raise DataError(f"{path}: expected at least one sentence, found none. {hint}")
    return make_pool(pairs)

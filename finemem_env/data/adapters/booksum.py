"""Long texts read in dated portions; one question asks for a summary, scored by keywords.

One line of booksum/{train,val,test}.jsonl, made of any texts that you have (BookSum's publisher
gives scripts that collect texts, not the texts); `keywords`, or a written `summary` that they are
taken from:

    {"book": "Bleak House", "chapter": "chapter 1", "text": "London. Michaelmas term lately over …",
     "summary": "The novel opens in London, in fog …", "keywords": ["fog", "Chancery", "Jarndyce"]}

Built as Mem-α's (arXiv 2509.25911): sentences packed up to 2,048 tokens a chunk, 5 to 20 chunks,
one to three days apart. `booksum_squality` makes the same of SQuALITY's stories, whose first
question asks for the plot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from finemem_env.data.adapters.keywords import keywords_of
from finemem_env.data.dialogue import book_chunk, dates, pack_sentences
from finemem_env.data.files import each_record, parsed
from finemem_env.data.passages import dated_chunks
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.data.whole import WholeSource, unwrapped
from finemem_env.fields import Fields
from finemem_env.types import Episode, Question

_CHUNKS = (5, 20)


@dataclass(frozen=True, slots=True)
class _Chapter:
    name: str
    text: str
    keywords: tuple[str, ...]


class BooksumSource(WholeSource):
    """One chapter an episode; `size` is the number of chapters in the split.

    `num_chunks` cuts every chapter into about so many chunks; `chunk_tokens` cuts at that size.
    Otherwise chunks are at most 2,048 tokens, or smaller where a chapter has fewer than five such.
    """

    chunk_tokens: ClassVar[tuple[int, int]] = (2048, 2048)

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if spec.options.get("squality"):
            file = "dev" if config.split == "val" else config.split
            make, path = _story, self.file(f"squality/{file}.jsonl")
        else:
            make, path = _chapter, self.file(f"booksum/{config.split}.jsonl")
        self._chapters = parsed(each_record(make), path, self.reading)
        self.size = len(self._chapters)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Cut chapter `index` and ask for a summary of what was read between two dates."""
        chapter = self._chapters[index]
        most = self._most(chapter.text)
        texts = pack_sentences(chapter.text, most, self.count)
        days = dates(len(texts), rng)
        if self.config.chunking == "mem-alpha":
            texts = list(map(book_chunk, texts, days))
        question = Question(
            id="q0",
            question=f"Summarize what was read from {days[0]} to {days[-1]}.",
            answers=(", ".join(chapter.keywords),),
            metric="keyword_fraction",
            type="summary",
        )
        about: dict[str, object] = {"split": self.config.split, "index": index}
        about |= {"chapter": chapter.name, "chunk_tokens": most}
        chunks = dated_chunks(texts, days)
        return Episode(self.episode_id(index), "LRU", self.name, chunks, (question,), about)

    def _most(self, text: str) -> int:
        """Most tokens of a chunk of this chapter."""
        size = self.count(text)
        if self.config.num_chunks is not None:
            return max(1, -(-size // self.config.num_chunks))
        least, most = _CHUNKS
        default = self.config.document_tokens(lambda: size, self.chunk_tokens[1])
        if self.config.chunk_tokens is not None:
            return default
        return max(-(-size // most), min(default, -(-size // least)))


def _chapter(record: Fields) -> _Chapter:
    text = unwrapped(record.text("text"))
    keywords = record.texts("keywords", [])
    kept = keywords or keywords_of(record.text("summary", ""), text)
    if not kept:
        raise record.error("keywords", "keywords, or a summary that shares some words with text")
    name = f"{record.text('book', '')} {record.text('chapter', '')}".strip()
    return _Chapter(name, text, tuple(keyword.replace(",", " ") for keyword in kept))


def _story(record: Fields) -> _Chapter:
    text = unwrapped(record.text("document"))
    questions = record.children("questions")
    if not questions:
        raise record.error("questions", "at least one question")
    summaries = [response.text("response_text") for response in questions[0].children("responses")]
    return _Chapter(
        str(record.mapping("metadata").get("passage_id", "")),
        text,
        keywords_of("\n".join(summaries), text) or keywords_of(text, text),
    )

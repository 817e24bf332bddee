"""Keeps published test questions out of training data.

Mem-α trained on the same 100 NLU and TREC questions that MemoryAgentBench tests, which makes its
scores there not what they seem.
"""

from __future__ import annotations

from pathlib import Path

from finemem_env.data.adapters.labelled import Pool
from finemem_env.data.files import Reading, parsed
from finemem_env.data.published.memalpha import json_list
from finemem_env.data.published.parquet import local_rows
from finemem_env.errors import DataError
from finemem_env.text import normalise


def without_published(pool: Pool, path: str, reading: Reading) -> Pool:
    """`pool` without the texts that occur in a question of the parquet files at `path`.

    Args:
        pool: texts by label.
        path: a folder or file of MemoryAgentBench, original or processed; "" changes nothing.
        reading: how the files are read.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: nothing readable at `path`.
    """
    if not path:
        return pool
    folder = Path(path)
    files = sorted(folder.glob("**/*.parquet")) if folder.is_dir() else [folder]
    if not files or not files[0].is_file():
        raise DataError(f"exclude: expected parquet files of MemoryAgentBench at {path!r}.")
    published = "\n".join(parsed(_questions, file, reading) for file in files)
    return pool.where(lambda text: normalise(text) not in published)


def _questions(path: Path, reading: Reading) -> str:
    """All questions of a file, one a line, in the form in which texts are compared."""
    texts: list[str] = []
    for row in local_rows([path], (), reading).rows:
        if row.fields.get("questions") is None:
            entries = json_list(row.fields, "questions_and_answers")
            questions = [entry.get("question", "") for entry in entries if isinstance(entry, dict)]
        else:
            questions = row.fields.items("questions")
        texts.extend(normalise(str(question)) for question in questions)
    return "\n".join(texts)

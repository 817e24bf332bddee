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
    asked = "\n".join(parsed(_questions, file, reading) for file in files)
    return pool.where(lambda text: normalise(text) not in asked)


def _questions(path: Path, reading: Reading) -> str:
    """All questions of a file, one a line, in the form in which texts are compared."""
    found: list[str] = []
    for row in local_rows([path], (), reading).rows:
        if row.fields.get("questions") is None:
            asked = json_list(row.fields, "questions_and_answers")
            questions = [one.get("question", "") for one in asked if isinstance(one, dict)]
        else:
            questions = row.fields.items("questions")
        found.extend(normalise(str(question)) for question in questions)
    return "\n".join(found)

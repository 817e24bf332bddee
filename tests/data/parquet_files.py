"""Small parquet files of exactly the two published schemas, written on the spot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["README", "instance", "mab_folder", "mab_row", "memalpha_folder", "write_parquet"]

HEADER = "[Dialogue between User and Assistant on 2024-01-0{day} 00:00]\n<User>Facts:\n{text}"

# What the data set's card on the hub says of its files.
README = """---
configs:
- config_name: default
  data_files:
  - split: Accurate_Retrieval
    path: data/Accurate_Retrieval-*
  - split: Test_Time_Learning
    path: data/Test_Time_Learning-*
  - split: Long_Range_Understanding
    path: data/Long_Range_Understanding-*
  - split: Conflict_Resolution
    path: data/Conflict_Resolution-*
---
"""


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """`rows` as one parquet file; skips where pyarrow is missing."""
    arrow = pytest.importorskip("pyarrow", reason="needs the extra data (pyarrow)")
    parquet = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = _original_schema(arrow) if "context" in rows[0] else None
    parquet.write_table(arrow.Table.from_pylist(list(rows), schema), path)
    return path


def _original_schema(arrow: Any) -> Any:  # noqa: ANN401
    """The types that the data set's card gives, for fields that are null in every row as well."""
    text, texts = arrow.string(), arrow.list_(arrow.string())
    turn = arrow.struct([("content", text), ("has_answer", arrow.bool_()), ("role", text)])
    metadata = arrow.struct(
        [
            ("demo", text),
            ("haystack_sessions", arrow.list_(arrow.list_(arrow.list_(turn)))),
            ("keypoints", texts),
            ("previous_events", texts),
            ("qa_pair_ids", texts),
            ("question_dates", texts),
            ("question_ids", texts),
            ("question_types", texts),
            ("source", text),
        ]
    )
    return arrow.schema(
        [
            ("context", text),
            ("questions", texts),
            ("answers", arrow.list_(texts)),
            ("metadata", metadata),
        ]
    )


def instance(
    number: int, data_source: str, questions: Sequence[tuple[str, object]], chunks: int = 3
) -> dict[str, object]:
    """One row of Memalpha."""
    texts = [
        HEADER.format(day=t + 1, text=f"Fact {number}.{t} of {data_source} is v{number}x{t}.")
        for t in range(chunks)
    ]
    asked = [{"question": question, "answer": answer} for question, answer in questions]
    return {
        "instance_id": number,
        "prompt": "I will provide you with chunks.",
        "chunks": json.dumps(texts),
        "questions_and_answers": json.dumps(asked),
        "data_source": data_source,
        "metadata": json.dumps({"origin": data_source}),
        "num_chunks": chunks,
        "num_questions": len(asked),
    }


def memalpha_folder(root: Path) -> Path:
    """data_dir with memalpha/train.parquet and test.parquet: every data_source of the set."""
    rows = []
    for number in range(20):
        fact = (f"What is fact {number}.1?", f"v{number}x1")
        rows.append(instance(number, ("squad", "hotpotqa")[number % 2], [fact]))
    rows += [
        instance(20, "perltqa", [("Which?", "Rome;Paris")]),
        instance(21, "lme_train", [("What do I like?", "The user likes tea.")]),
        instance(22, "icl_nlu_8296shot_balance", [("play jazz", "7")]),
        instance(23, "icl_trec_coarse_6600shot_balance", [("Who is it?", "3")]),
        instance(24, "pubmed-rct", [("Sentence: We aimed.", "0")]),
        instance(25, "booksum", [("Summarize what I read.", "owl, barn, mill")]),
    ]
    write_parquet(root / "memalpha" / "train.parquet", rows)
    test = [instance(100, "squad", [("What is fact 100.0?", "v100x0"), ("Empty?", "")])]
    write_parquet(root / "memalpha" / "test.parquet", [*test, *(r | {} for r in rows[20:])])
    return root


def mab_row(
    source: str, context: str, asked: Sequence[tuple[str, Sequence[str]]], **metadata: object
) -> dict[str, object]:
    """One row of the original MemoryAgentBench, every metadata field there."""
    return {
        "context": context,
        "questions": [question for question, _ in asked],
        "answers": [list(golds) for _, golds in asked],
        "metadata": {
            "demo": None,
            "haystack_sessions": None,
            "keypoints": None,
            "previous_events": None,
            "qa_pair_ids": [f"{source}_no{i}" for i in range(len(asked))],
            "question_dates": None,
            "question_ids": None,
            "question_types": None,
            "source": source,
            **metadata,
        },
    }


def _sentences(count: int) -> str:
    return " ".join(f"Box number {i} holds the thing called v{i}." for i in range(count))


def _shots(count: int) -> str:
    return "\n\n".join(f"please do thing {i % 3} now, {i}\nlabel: {i % 3}" for i in range(count))


def mab_folder(root: Path) -> Path:
    """A folder of the hub's layout: README.md, data/<part>-*.parquet, entity2id.json."""
    books = _sentences(400)
    parts = {
        "Accurate_Retrieval": [
            mab_row("ruler_qa1_197K", books, [("What is in box 3?", ["v3", "v3"])]),
            mab_row("eventqa_full", books, [("What next?", ["the thing called v9"])]),
            mab_row(
                "longmemeval_s*",
                books,
                [("Where did I go?", ["Rome"]), ("And before?", ["You never said."])],
                question_types=["temporal-reasoning", "multi-session"],
                question_ids=["a1", "b2_abs"],
                question_dates=["2023/05/30", "2023/05/31"],
            ),
        ],
        "Test_Time_Learning": [
            mab_row("icl_banking77_5900shot_balance", _shots(60), [("do thing 2", ["2"])]),
            mab_row("recsys_redial_full", books, [("Any film?", ["3", "5"])]),
        ],
        "Long_Range_Understanding": [
            mab_row(
                "infbench_sum_eng_shots2",
                books,
                [("Summarize the book.", ["Boxes hold things."])],
                keypoints=["Boxes exist.", "They hold things."],
            ),
            mab_row("detective_qa", books, [("Who did it? A. x B. y", ["B. y"])]),
        ],
        "Conflict_Resolution": [
            mab_row("factconsolidation_sh_6k", books, [("Where?", ["Rome"])]),
            mab_row("factconsolidation_mh_6k", books, [("Where of where?", ["Oslo"])]),
        ],
    }
    for part, rows in parts.items():
        write_parquet(root / "data" / f"{part}-00000-of-00001.parquet", rows)
    (root / "README.md").write_text(README)
    entities = {f"<http://dbpedia.org/resource/Film_{i}_(film)>": i for i in range(8)}
    (root / "entity2id.json").write_text(json.dumps(entities))
    return root

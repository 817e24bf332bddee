"""Defective publishers' files: one error each, with file, record, expected, found and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.source import SourceConfig
from finemem_env.errors import DataError
from tests.data.publishers import write_all

Change = Callable[[str], str]


def _json(change: Callable[[Any], object]) -> Change:
    """An edit of the parsed content."""

    def apply(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return apply


def _line(change: Callable[[Any], object]) -> Change:
    """An edit of the second line's object."""

    def apply(text: str) -> str:
        lines = text.splitlines()
        content = json.loads(lines[1])
        change(content)
        return "\n".join([lines[0], json.dumps(content), *lines[2:]])

    return apply


def _instead(old: str, new: str) -> Change:
    return lambda text: text.replace(old, new, 1)


def _qa(data: Any) -> Any:  # noqa: ANN401
    return data["data"][2]["paragraphs"][1]["qas"][0]


def _rewrite(cases: Any) -> Any:  # noqa: ANN401
    return cases[4]["requested_rewrite"][0]


SQUAD = "squad/dev-v1.1.json"
HOTPOT = "hotpotqa/hotpot_train_v1.1.json"
BANKING = "banking77/train.csv"
CLINC = "clinc150/data_full.json"
CSAB = "csabstruct/train.jsonl"
TALES = "fairytaleqa/data-by-train-split"
TALE = f"{TALES}/section-stories/train/train-tale-0-story.csv"
TALE_QUESTIONS = f"{TALES}/questions/train/train-tale-0-questions.csv"
SQUALITY = "squality/train.jsonl"
MQUAKE = "mquake/MQuAKE-hard.json"
PAIRS = "pararel_trex/trex_lms_vocab/P19.jsonl"

CASES: list[tuple[str, str, Change, str]] = [
    ("squad", SQUAD, lambda _: "{", "expected JSON"),
    ("squad", SQUAD, lambda _: "[]", "expected a JSON object, found list"),
    ("squad", SQUAD, lambda _: '{"data": []}', "data: expected paragraphs, found list []"),
    ("squad", SQUAD, _json(lambda d: d.pop("data")), "data: expected a list, found no such key"),
    ("squad", SQUAD, _json(lambda d: d["data"][0].pop("title")), "data[0]: title: expected a non"),
    ("squad", SQUAD, _json(lambda d: _qa(d).pop("id")), "data[2].paragraphs[1].qas[0]: id"),
    ("squad", SQUAD, _json(lambda d: _qa(d).update(answers=[])), "answers: expected at least one"),
    (
        "squad",
        SQUAD,
        _json(lambda d: _qa(d)["answers"][0].update(answer_start=1)),
        "answer_start: expected the offset of 'value2x1x0' in the context, found int 1",
    ),
    ("hotpotqa", HOTPOT, lambda _: "{}", "expected a list of records, found dict"),
    ("hotpotqa", HOTPOT, lambda _: "[]", "expected a list of records, found an empty list"),
    ("hotpotqa", HOTPOT, _json(lambda d: d[3].pop("answer")), "record 3: answer: expected a non"),
    (
        "hotpotqa",
        HOTPOT,
        _json(lambda d: d[3].update(context=[["T", "not a list"]])),
        "record 3: context: expected a list of [title, [sentence, …]]",
    ),
    (
        "hotpotqa",
        HOTPOT,
        _json(lambda d: d[3].update(supporting_facts=[["Elsewhere", 0]])),
        "record 3: supporting_facts: expected a list of [title in context",
    ),
    (
        "banking77",
        BANKING,
        _instead("category", "label"),
        "a column 'category', found 'text'",
    ),
    ("banking77", BANKING, lambda _: "text,category\n", "expected at least one row"),
    ("banking77", BANKING, lambda _: "text,category\nhello\n", "row 1: category: expected a non"),
    ("banking77", BANKING, lambda _: 'text,category\n"open,a\n', "expected CSV"),
    ("banking77", BANKING, lambda _: "", "expected a column 'text', found none"),
    ("clinc150", CLINC, _json(lambda d: d.pop("val")), "val: expected a list, found no such key"),
    ("clinc150", CLINC, _json(lambda d: d["test"].append(["a"])), "test: expected a list of [text"),
    ("csabstruct", CSAB, _line(lambda r: r.pop("labels")), "line 2: labels: expected a list"),
    ("csabstruct", CSAB, _line(lambda r: r["labels"].pop()), "labels: expected 5 labels, one a se"),
    ("csabstruct", CSAB, lambda _: "\n", "expected one JSON object a line, found an empty file"),
    ("fairytaleqa", TALE, _instead("section", "part"), "a column 'section', found 'part', 'text'"),
    ("fairytaleqa", TALE, _instead("\n1,", "\nx,"), "row 1: section: expected a section number"),
    ("fairytaleqa", TALE_QUESTIONS, _instead("answer6", "a6"), "expected a column 'answer6'"),
    (
        "fairytaleqa",
        TALE_QUESTIONS,
        _instead("local,1", "local,7"),
        "sections of the story (1",
    ),
    ("fairytaleqa", TALE_QUESTIONS, _instead("local,1", "local,x"), "cor_section: expected a sec"),
    ("squality", SQUALITY, _line(lambda r: r.pop("document")), "line 2: document: expected a non"),
    ("squality", SQUALITY, _line(lambda r: r.update(questions=[])), "questions: expected at least"),
    (
        "squality",
        SQUALITY,
        _line(lambda r: r["questions"][1].update(responses=[])),
        "questions[1]: responses: expected at least one response",
    ),
    ("mquake", MQUAKE, lambda _: "{}", "expected a list of records, found dict"),
    ("mquake", MQUAKE, _json(lambda d: d[4].pop("orig")), "record 4: orig: expected an object"),
    ("mquake", MQUAKE, _json(lambda d: d[4]["single_hops"].pop()), "single_hops: expected one hop"),
    ("mquake", MQUAKE, _json(lambda d: _rewrite(d).pop("prompt")), "requested_rewrite[0]: prompt"),
    (
        "mquake",
        MQUAKE,
        _json(lambda d: d[4]["orig"].update(triples=[["Q1"], ["Q2"]])),
        "orig: triples: expected a list of [subject, relation, object] texts",
    ),
    ("factconsolidation", PAIRS, _line(lambda r: r.pop("obj_label")), "line 2: obj_label: expect"),
    ("factconsolidation", PAIRS, _instead("{", "["), "line 1: expected JSON"),
]


@pytest.mark.parametrize(("name", "file", "change", "message"), CASES)
def test_a_defect_is_one_clear_error(
    name: str, file: str, change: Change, message: str, tmp_path: Path
) -> None:
    data_dir = write_all(tmp_path / "data")
    path = data_dir / file
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError) as error:
        load_source(name, SourceConfig(data_dir=data_dir)).episode(0)
    said = str(error.value)
    assert said.startswith(str(path))
    assert message in said
    assert SOURCES[name].where in said


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    data_dir = write_all(tmp_path / "data")
    (data_dir / BANKING).write_bytes(b"text,category\nsch\xf6n,x\n")
    with pytest.raises(DataError, match=r"train\.csv: expected UTF-8 text"):
        load_source("banking77", SourceConfig(data_dir=data_dir))


def test_two_files_of_one_kind_are_refused(tmp_path: Path) -> None:
    data_dir = write_all(tmp_path / "data")
    (data_dir / "hotpotqa/hotpot_train_subset.json").write_text("[]")
    with pytest.raises(DataError, match=r"expected one file hotpot_train\*\.json, found"):
        load_source("hotpotqa", SourceConfig(data_dir=data_dir))


def test_a_story_without_questions_is_named(tmp_path: Path) -> None:
    data_dir = write_all(tmp_path / "data")
    (data_dir / TALE_QUESTIONS).unlink()
    with pytest.raises(DataError, match=r"train-tale-0-questions\.csv, which is missing"):
        load_source("fairytaleqa", SourceConfig(data_dir=data_dir))


def test_a_mended_file_is_read_again(tmp_path: Path) -> None:
    data_dir = write_all(tmp_path / "data")
    good = (data_dir / CLINC).read_text()
    (data_dir / CLINC).write_text("{")
    with pytest.raises(DataError):
        load_source("clinc150", SourceConfig(data_dir=data_dir))
    (data_dir / CLINC).write_text(good)
    assert load_source("clinc150", SourceConfig(data_dir=data_dir)).name == "clinc150"

"""Flawed records: one clear error, or left out, counted and named; never silence, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401  (registers the ids)
from finemem_env.cli.build import main as build
from finemem_env.data.registry import left_out, load_source
from finemem_env.data.schema import read_episodes
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError, DataError
from tests.data.parquet_files import instance, mab_folder, mab_row, write_parquet
from tests.data.publishers import write_all

PACKED: dict[str, Any] = {"num_chunks": 2, "chunk_tokens": 60}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_all(tmp_path / "data")


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _edit_line(path: Path, number: int, change: Callable[[Any], object]) -> None:
    lines = path.read_text().splitlines()
    content = json.loads(lines[number])
    change(content)
    lines[number] = json.dumps(content)
    path.write_text("\n".join(lines) + "\n")


def _load(name: str, root: Path, split: str = "train", **options: Any) -> Any:  # noqa: ANN401
    return load_source(name, SourceConfig(split, root, **options))


def _wrong_offsets(data: Any) -> None:  # noqa: ANN401
    for paragraph, question in ((0, 1), (3, 2)):
        asked = data["data"][4]["paragraphs"][paragraph]["qas"][question]
        asked["answers"][0]["answer_start"] += 1


def test_wrong_offsets_are_left_out_alone(root: Path) -> None:
    _edit(root / "squad/dev-v1.1.json", _wrong_offsets)
    with pytest.raises(DataError, match=r"data\[4\]\.paragraphs\[0\]\.qas\[1\].*answer_start"):
        _load("squad", root)
    source = _load("squad", root, on_error="skip")
    first, second = left_out(source)
    assert first.startswith("squad/dev-v1.1.json: data[4].paragraphs[0].qas[1].answers[0]: answer_")
    assert "paragraphs[3].qas[2]" in second
    assert str(root) not in first
    assert "Get it from" not in first
    again = _load("squad", root, on_error="skip")  # parsed before: the flaws are still known
    assert left_out(again) == (first, second)


DEFECTS: list[tuple[str, str, Callable[[Path], object], str, str]] = [
    ("hotpotqa", "hotpotqa/hotpot_train_v1.1.json",
     lambda p: _edit(p, lambda d: d[3].pop("answer")), "record 3: answer", "train"),
    ("musique", "musique/musique_full_v1.0_train.jsonl",
     lambda p: _edit_line(p, 2, lambda d: d.update(paragraphs=[])), "line 3: paragraphs", "train"),
    ("csabstruct", "csabstruct/train.jsonl",
     lambda p: _edit_line(p, 1, lambda d: d["labels"].pop()), "line 2: labels", "train"),
    ("squality", "squality/train.jsonl",
     lambda p: _edit_line(p, 0, lambda d: d.update(questions=[])), "line 1: questions", "train"),
    ("booksum_squality", "squality/train.jsonl",
     lambda p: _edit_line(p, 0, lambda d: d.update(questions=[])), "line 1: questions", "train"),
    ("qmsum", "qmsum/train.jsonl",
     lambda p: _edit_line(p, 0, lambda d: d.update(meeting_transcripts=[])), "line 1: meet",
     "train"),
    ("longmemeval", "longmemeval/longmemeval_oracle.json",
     lambda p: _edit(p, lambda d: d[5].update(haystack_sessions=[[], []])), "record 5: haystack_s",
     "train"),
    ("redial", "redial/train_data.jsonl",
     lambda p: _edit_line(p, 4, lambda d: d.update(messages=3)), "line 5: messages", "train"),
    ("booksum", "booksum/train.jsonl",
     lambda p: _edit_line(p, 1, lambda d: d.update(text=" ")), "line 2: text", "train"),
    ("mquake", "mquake/MQuAKE-hard.json",
     lambda p: _edit(p, lambda d: d[4].pop("orig")), "record 4: orig", "train"),
    ("factconsolidation", "pararel_trex/trex_lms_vocab/P19.jsonl",
     lambda p: _edit_line(p, 1, lambda d: d.pop("obj_label")), "line 2: obj_label", "train"),
    ("clinc150", "clinc150/data_full.json",
     lambda p: _edit(p, lambda d: d["test"].append(["alone"])), "test: expected", "train"),
    ("perltqa", "perltqa/perltmem_en_v2.json",
     lambda p: _edit(p, lambda d: d["Person 0"].pop("events")), "Person 0: events", "train"),
    ("banking77", "banking77/train.csv",
     lambda p: p.write_text(p.read_text() + "no label,\n"), "row 721: category", "train"),
    ("nlu", "nlu/NLU-Data-Home-Domain-Annotated-All.csv",
     lambda p: p.write_text(p.read_text() + "1;1;;x;;;;;;say it;ask\n"), "row 1321: scenario",
     "train"),
    ("trec_coarse", "trec/train_5500.label",
     lambda p: p.write_bytes(p.read_bytes() + b"What?\n"), "line 721: expected", "train"),
    ("pubmed_rct", "pubmed_rct/train.txt",
     lambda p: p.write_text(p.read_text() + "AIM\tx\n"), "expected a section", "train"),
    ("fairytaleqa", "fairytaleqa/data-by-train-split/questions/train/train-tale-0-questions.csv",
     lambda p: p.write_text(p.read_text().replace("local,1", "local,7", 1)), "row 1: cor_section",
     "train"),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, file, break_it, place, split", DEFECTS, ids=[one[0] for one in DEFECTS]
)
def test_every_adapter_says_where_and_can_leave_it_out(
    name: str, file: str, break_it: Callable[[Path], object], place: str, split: str, root: Path
) -> None:
    break_it(root / file)
    with pytest.raises(DataError) as error:
        _load(name, root, split)
    assert place in str(error.value)
    source = _load(name, root, split, on_error="skip")
    (flaw,) = left_out(source)
    assert flaw.startswith(file)
    assert place in flaw


def test_an_index_behind_the_last_sentence_leaves_its_paragraph_needed(root: Path) -> None:
    path = root / "hotpotqa/hotpot_train_v1.1.json"
    _edit(path, lambda d: d[3]["supporting_facts"].append(["Title tra3 5", 99]))
    source: Any = _load("hotpotqa", root, "train", difficulty={"distractors": 0})
    (record,) = (one for one in source._records if one.id == "tra3")
    assert [passage.title for passage in record.gold] == [
        "Title tra3 2", "Title tra3 5", "Title tra3 7",
    ]  # fmt: skip
    assert len(record.support) == 2


def test_a_sound_file_leaves_nothing_out(root: Path) -> None:
    for name in ("squad", "qmsum", "banking77", "fairytaleqa"):
        assert left_out(_load(name, root, on_error="skip")) == ()


def test_a_file_of_flawed_records_only_is_an_error_all_the_same(root: Path) -> None:
    (root / "redial/train_data.jsonl").write_text('{"messages": 3}\n{"messages": 4}\n')
    with pytest.raises(DataError, match=r"line 1: messages: .* all 2 records .* none is left"):
        _load("redial", root, on_error="skip")


def test_gym_make_counts_and_names_them(root: Path) -> None:
    _edit(root / "squad/dev-v1.1.json", _wrong_offsets)
    options: dict[str, Any] = {"source": "squad", "data_dir": str(root), **PACKED}
    with pytest.raises(DataError):
        gym.make("FineMem-AR-v0", **options)
    env = gym.make("FineMem-AR-v0", on_error="skip", **options)
    said = env.reset(seed=0)[1]["versions"]["left_out"]
    assert said.startswith("2 records: squad/dev-v1.1.json: data[4].paragraphs[0].qas[1]")
    assert "; squad/dev-v1.1.json: data[4].paragraphs[3].qas[2]" in said
    vector = gym.make_vec("FineMem-AR-v0", num_envs=2, on_error="skip", **options)
    assert vector.reset(seed=0)[1]["versions"]["left_out"][1] == said
    clean = gym.make("FineMem-AR-v0", source="hotpotqa", data_dir=str(root), **PACKED)
    assert "left_out" not in clean.reset(seed=0)[1]["versions"]
    with pytest.raises(ConfigError, match="unknown on_error 'ignore'"):
        gym.make("FineMem-AR-v0", on_error="ignore", **options)


def test_build_reports_them(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _edit(root / "squad/dev-v1.1.json", _wrong_offsets)
    arguments = ["squad", "--data-dir", str(root), "--out", str(tmp_path / "a.jsonl")]
    arguments += ["--num-chunks", "2", "--chunk-tokens", "60", "--episodes", "2"]
    assert build([*arguments, "--on-error", "skip"]) == 0
    out = capsys.readouterr().out
    assert "left out 2 flawed records:\n  squad/dev-v1.1.json: data[4].paragraphs[0].qas[1]" in out


def test_streams_and_objects_take_no_on_error() -> None:
    for source in (["A chunk."], load_source("synthetic_ar")):
        with pytest.raises(ConfigError, match="on_error: it does not apply"):
            gym.make("FineMem-AR-v0", source=source, on_error="skip")


# Rows of parquet files: checked when the environment is made, named by file and row of the file.


def _memalpha(root: Path) -> Path:
    rows = [
        instance(0, "booksum", [("Sum up.", "owl, barn")]),
        instance(1, "squad", [("What?", "x")]),
        instance(2, "squad", [("What else?", "y")]) | {"chunks": '["a fact", " "]'},
        instance(3, "squad", [("What now?", "z")]),
    ]
    write_parquet(root / "memalpha" / "test.parquet", rows)
    return root


def test_rows_are_checked_when_the_environment_is_made(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "source": "memalpha",
        "split": "test",
        "data_dir": str(_memalpha(tmp_path)),
    }
    with pytest.raises(DataError, match=r"memalpha/test\.parquet, row 2 \(counted from 0\): chunk"):
        gym.make("FineMem-AR-v0", **options)
    env = gym.make("FineMem-AR-v0", on_error="skip", **options)
    said = env.reset(seed=0)[1]["versions"]["left_out"]
    assert said.startswith("1 record: memalpha/test.parquet, row 2 (counted from 0): chunks")
    drawn = {env.reset(seed=seed)[1]["episode_id"] for seed in range(20)}
    assert len(drawn) == 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"questions": ["Where?"], "answers": []}, r"AR-00000-of-00001\.parquet|row 1 .*: answers"),
        ({"context": "  "}, r"row 1 \(counted from 0\): context"),
        ({"questions": [], "answers": []}, r"row 1 \(counted from 0\): questions"),
    ],
)
def test_rows_of_memoryagentbench_too(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    asked = [("What is in box 3?", ["v3"])]
    rows = [mab_row("ruler_qa1_197K", "Box 3 holds v3.", asked) for _ in range(2)]
    rows[1] |= change
    folder = tmp_path / "memoryagentbench" / "data"
    write_parquet(folder / "Accurate_Retrieval-00000-of-00001.parquet", rows)
    with pytest.raises(DataError, match=message):
        _load("memoryagentbench", tmp_path, "test")
    source = _load("memoryagentbench", tmp_path, "test", on_error="skip")
    assert source.size == 1
    assert "Accurate_Retrieval-00000-of-00001.parquet, row 1" in left_out(source)[0]


def test_an_unknown_sub_dataset_names_its_row(tmp_path: Path) -> None:
    mab_folder(tmp_path / "memoryagentbench")
    path = tmp_path / "memoryagentbench/data/Conflict_Resolution-00000-of-00001.parquet"
    write_parquet(path, [mab_row("novels", "x", [("?", ["y"])])])
    with pytest.raises(DataError, match=r"Conflict_Resolution.*row 0 .*found 'novels"):
        _load("memoryagentbench", tmp_path, "test")


# What build writes can be read again.


def test_build_never_writes_what_is_refused_when_read(tmp_path: Path) -> None:
    root = _memalpha(tmp_path / "data")
    out = tmp_path / "a.jsonl"
    arguments = ["memalpha", "--split", "test", "--data-dir", str(root), "--out", str(out)]
    with pytest.raises(DataError, match="chunks"):
        build(arguments)
    assert not out.exists()
    assert build([*arguments, "--on-error", "skip"]) == 0
    assert len(list(read_episodes(out))) == 3
    source = load_source(str(out), SourceConfig("test"))
    assert source.size == 3


def test_a_flawed_line_of_an_episode_file_can_be_left_out(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    packing = ["--num-chunks", "2", "--chunk-tokens", "60", "--episodes", "3"]
    build(["squad", "--data-dir", str(root), "--out", str(path), *packing])
    lines = path.read_text().splitlines()
    record = json.loads(lines[1])
    record["chunks"][0]["text"] = ""
    path.write_text("\n".join([lines[0], json.dumps(record), "{", lines[2], lines[2]]))
    with pytest.raises(DataError, match=r"line 2: chunks\[0\]: text"):
        load_source(str(path))
    source = load_source(str(path), SourceConfig(on_error="skip"))
    assert source.size == 2
    assert [flaw.split(":")[0] for flaw in left_out(source)] == [
        "a.jsonl, line 2",
        "a.jsonl, line 3",
        "a.jsonl, line 5",
    ]


# Several files side by side are a question, not a choice by name.


@pytest.mark.parametrize(
    "name, file, other, choice",
    [
        ("longmemeval", "longmemeval/longmemeval_oracle.json", "longmemeval_m.json", "oracle"),
        (
            "musique",
            "musique/musique_full_v1.0_train.jsonl",
            "musique_ans_v1.0_train.jsonl",
            "full",
        ),
        ("hotpotqa", "hotpotqa/hotpot_train_v1.1.json", "hotpot_train_small.json", "v1.1"),
        ("perltqa", "perltqa/perltmem_en_v2.json", "perltmem_en.json", "v2"),
    ],
)
def test_several_candidates_are_named(
    name: str, file: str, other: str, choice: str, root: Path
) -> None:
    chosen = (root / file).name
    (root / file).with_name(other).write_text("[]")
    with pytest.raises(DataError, match=r"expected one file .*, found ") as error:
        _load(name, root)
    assert chosen in str(error.value)
    assert other in str(error.value)
    assert "difficulty={'file': '…'}" in str(error.value)
    assert _load(name, root, difficulty={"file": choice}).name == name
    if name != "perltqa":
        assert _load(name, root, difficulty={"file": chosen}).name == name
    with pytest.raises(DataError, match="expected a file named 'nothing'"):
        _load(name, root, difficulty={"file": "nothing"})


def test_parquet_files_beside_each_other_are_named_and_shards_must_be_complete(
    tmp_path: Path,
) -> None:
    rows = [instance(0, "squad", [("What?", "x")])]
    folder = tmp_path / "set"
    knobs = {"path": str(folder)}
    write_parquet(folder / "test-00000-of-00002.parquet", rows)
    with pytest.raises(DataError, match="every shard of one, found test-00000-of-00002"):
        _load("memalpha", tmp_path, "test", difficulty=knobs)
    write_parquet(folder / "test-00001-of-00002.parquet", [instance(1, "squad", [("Who?", "y")])])
    assert _load("memalpha", tmp_path, "test", difficulty=knobs).size == 2
    write_parquet(folder / "test_old.parquet", rows)
    with pytest.raises(DataError, match="expected one file, or every shard of one, found"):
        _load("memalpha", tmp_path, "test", difficulty=knobs)

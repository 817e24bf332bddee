"""Bring your own data: tables, publishers' folders anywhere, and the page on the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401  (registers the ids)
from finemem_env.__main__ import main
from finemem_env.cli.convert import main as convert
from finemem_env.data import schema
from finemem_env.data.registry import load_source
from finemem_env.data.schema import read_episodes
from finemem_env.data.source import SPLITS, SourceConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import METRICS
from finemem_env.testing import check_environment
from finemem_env.types import AnswersMode, Competency, Episode, Task
from tests.data.parquet_files import memalpha_folder, write_parquet
from tests.data.publishers import write_all

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own-data.md").read_text("utf-8")
ROWS: list[dict[str, object]] = [
    {"document": "Mara lives in Osta. She keeps goats.", "question": "Where does Mara live?",
     "answer": "Osta"},
    {"document": "Mara lives in Osta. She keeps goats.", "question": "What does she keep?",
     "answer": "goats"},
    {"document": "Ben has a dog.", "question": "Which animal has Ben?", "answer": "dog"},
]  # fmt: skip


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("own") / "data")


def _convert(path: Path, *options: str) -> list[Episode]:
    out = path.parent / "out.jsonl"
    assert convert([str(path), "--out", str(out), "--force", *options]) == 0
    return list(read_episodes(out))


def _csv(path: Path, rows: list[dict[str, object]], delimiter: str = ",") -> Path:
    lines = [delimiter.join(rows[0])]
    for row in rows:
        lines.append(delimiter.join(f'"{value}"' for value in row.values()))
    path.write_text("\n".join(lines) + "\n")
    return path


def _jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_table_gives_the_same_episodes(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine.{suffix}"
    if suffix == "parquet":
        write_parquet(path, ROWS)
    elif suffix == "json":
        path.write_text(json.dumps(ROWS))
    elif suffix == "jsonl":
        _jsonl(path, ROWS)
    else:
        _csv(path, ROWS, "\t" if suffix == "tsv" else ",")
    first, second = _convert(path)
    assert (first.episode_id, second.episode_id) == ("mine/0", "mine/1")
    assert [chunk.text for chunk in first.chunks] == ["Mara lives in Osta. She keeps goats."]
    assert [(q.id, q.question, q.answers) for q in first.questions] == [
        ("q0", "Where does Mara live?", ("Osta",)),
        ("q1", "What does she keep?", ("goats",)),
    ]
    assert second.questions[0].metric == "substring_exact_match"
    assert first.metadata == {}


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"context": ["Mara lives in Osta.", "She keeps goats."], "q": "Where?", "golds": "a|b",
         "who": 7, "name": "x1", "when": "2024-05-01", "part": "test", "none": "no", "of": "a|b|c"},
        {"context": "Ben has a dog.", "q": "Which?", "golds": "", "who": 7, "name": "x2",
         "when": None, "part": "test", "none": True, "of": ""},
    ]  # fmt: skip
    (episode,) = _convert(
        _jsonl(tmp_path / "mine.jsonl", rows),
        *("--document", "context", "--question", "q", "--answer", "golds", "--episode", "who"),
        *("--id", "name", "--time", "when", "--split-column", "part", "--unanswerable", "none"),
        *("--choices", "of", "--separator", "|", "--competency", "CR"),
    )
    assert (episode.episode_id, episode.competency) == ("7", "CR")
    assert [(chunk.text, chunk.time) for chunk in episode.chunks] == [
        ("Mara lives in Osta.", "2024-05-01"),
        ("She keeps goats.", "2024-05-01"),
        ("Ben has a dog.", None),
    ]
    first, second = episode.questions
    assert (first.id, first.answers, first.choices) == ("x1", ("a", "b"), ("a", "b", "c"))
    assert (first.metric, first.type) == ("multiple_choice", "choice")
    assert (second.unanswerable, second.answers, second.metric) == (
        True,
        ("unknown",),
        "substring_exact_match",
    )
    assert episode.metadata == {"split": "test"}


def test_a_document_of_a_csv_may_be_a_book(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "document": "Mara lives in Osta. " * 8000}]
    (episode,) = _convert(_csv(tmp_path / "mine.csv", rows))
    assert sum(len(chunk.text) for chunk in episode.chunks) > 131_072


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("document,question,answer,answer\nMara lives in Osta.,Where?,Osta,Nalpis\n")
    with pytest.raises(
        DataError, match=r"expected one column 'answer', found .*'answer', 'answer'"
    ):
        _convert(path)


def test_what_a_table_does_not_hold_is_not_called_nan_or_none(tmp_path: Path) -> None:
    nan = float("nan")
    with pytest.raises(DataError, match="line 1: answer: expected an answer"):
        _convert(_jsonl(tmp_path / "a.jsonl", [{**ROWS[0], "answer": nan}]))
    (episode,) = _convert(
        _jsonl(tmp_path / "b.jsonl", [{**ROWS[0], "at": nan, "none": nan}]),
        *("--time", "at", "--unanswerable", "none"),
    )
    assert (episode.chunks[0].time, episode.questions[0].unanswerable) == (None, False)
    for value in (nan, None, " "):
        with pytest.raises(DataError, match="line 1: of: expected what names the row's episode"):
            _convert(_jsonl(tmp_path / "c.jsonl", [{**ROWS[0], "of": value}]), "--episode", "of")


@pytest.mark.parametrize(
    "options, count",
    [((), 10), (("--num-chunks", "4"), 4), (("--chunk-tokens", "12"), 200)],
)
def test_documents_are_cut_between_sentences(
    options: tuple[str, ...], count: int, tmp_path: Path
) -> None:
    text = " ".join(f"Box number {i} holds the thing called v{i}." for i in range(200))
    row: dict[str, object] = {"document": text, "question": "What?", "answer": "v3"}
    (episode,) = _convert(_jsonl(tmp_path / "a.jsonl", [row]), *options)
    assert abs(len(episode.chunks) - count) <= 1
    assert " ".join(chunk.text for chunk in episode.chunks) == text
    assert all(chunk.text.endswith(".") for chunk in episode.chunks)


def test_options_hold_for_every_question(tmp_path: Path) -> None:
    path = _csv(tmp_path / "mine.csv", ROWS)
    found = _convert(path, "--metric", "f1", "--type", "multi_hop", "--split", "val")
    assert {q.metric for e in found for q in e.questions} == {"f1"}
    assert {q.type for e in found for q in e.questions} == {"multi_hop"}
    assert {episode.metadata["split"] for episode in found} == {"val"}


def test_flawed_rows_are_named_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank: dict[str, object] = {"document": "x", "question": " ", "answer": "y"}
    rows = [*ROWS, blank, {**ROWS[0], "answer": ""}]
    path = _csv(tmp_path / "mine.csv", rows)
    with pytest.raises(DataError, match=r"mine\.csv, row 4: question: .*own-data\.md"):
        _convert(path)
    assert len(_convert(path, "--on-error", "skip")) == 2
    out = capsys.readouterr().out
    assert "left out 2 flawed records:" in out
    assert "row 5: answer: expected an answer (--unanswerable COLUMN marks rows without one)" in out
    with pytest.raises(DataError, match=r"expected at least one sound row.*row 1: answer"):
        _convert(_csv(path, [{**ROWS[0], "answer": ""}]), "--on-error", "skip")


def test_questions_can_be_excluded(tmp_path: Path) -> None:
    (tmp_path / "wrong.txt").write_text("mine/0/q1\nmine/1/q0\n")
    path = _csv(tmp_path / "mine.csv", ROWS)
    (episode,) = _convert(path, "--exclude", str(tmp_path / "wrong.txt"))
    assert [question.id for question in episode.questions] == ["q0"]


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("mine.csv", ("--document", "text"), "expected a column 'text', found 'document'"),
        ("mine.xlsx", (), r"expected a file that ends in \.csv.* or --as SOURCE"),
        ("nowhere.csv", (), "expected a file that ends in"),
        ("mine.csv", ("--metric", "f2"), "unknown metric 'f2'"),
        ("mine.csv", ("--split", "all"), "--split-column"),
        ("mine.csv", ("--episodes", "3"), "they are for --as SOURCE"),
        ("mine.csv", ("--as", "locomoo"), r"Did you mean 'locomo'\?.*own-data\.md"),
        ("mine.csv", ("--as", "synthetic_ar"), "unknown source 'synthetic_ar'"),
        ("nowhere", ("--as", "squad"), "expected the folder or file of squad, found nothing"),
        ("mine.csv", ("--split-column", "answer"), "answer: expected one of train, val, test"),
        ("mine.csv", ("--unanswerable", "question"), "question: expected one of true, yes, 1"),
    ],
)
def test_bad_arguments(name: str, options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    _csv(tmp_path / "mine.csv", ROWS)
    (tmp_path / "mine.xlsx").write_bytes(b"")
    with pytest.raises((ConfigError, DataError), match=message):
        _convert(tmp_path / name, *options)
    assert not (tmp_path / "out.jsonl").exists()


def test_rows_of_one_episode_have_one_split(tmp_path: Path) -> None:
    parts = ("train", "test", "val")
    rows = [{**row, "part": part} for row, part in zip(ROWS, parts, strict=True)]
    with pytest.raises(DataError, match="one split for all its rows, found test, train"):
        _convert(_csv(tmp_path / "a.csv", rows), "--split-column", "part")


# Publishers' folders and files, wherever they lie.


@pytest.mark.parametrize(
    "name, path",
    [
        ("squad", "squad"),
        ("squad", "squad/dev-v1.1.json"),
        ("hotpotqa", "hotpotqa"),
        ("banking77", "banking77"),
        ("fairytaleqa", "fairytaleqa"),
        ("longmemeval", "longmemeval/longmemeval_oracle.json"),
        ("nlu", "nlu"),
        ("redial", "redial"),
        ("qmsum", "qmsum"),
        ("factconsolidation", "."),
        ("mquake", "mquake/MQuAKE-hard.json"),
    ],
)
def test_a_folder_anywhere_gives_what_data_dir_gives(
    name: str, path: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FINEMEM_DATA", raising=False)
    out = tmp_path / "out.jsonl"
    packing = ["--num-chunks", "2", "--chunk-tokens", "100", "--episodes", "2"]
    options = (
        packing
        if name in ("squad", "hotpotqa", "banking77", "redial", "nlu")
        else ["--episodes", "2"]
    )
    options = packing if name == "factconsolidation" else options
    assert convert([str(small / path), "--as", name, "--out", str(out), *options]) == 0
    found = list(read_episodes(out))
    config: dict[str, Any] = {"num_chunks": 2, "chunk_tokens": 100} if options is packing else {}
    for split in SPLITS:
        source = load_source(name, SourceConfig(split, small, **config))
        mine = [episode for episode in found if episode.metadata["split"] == split]
        assert mine == [source.episode(0), source.episode(1)]


def test_a_file_of_another_name_is_no_file_of_a_source_with_several(small: Path) -> None:
    config = SourceConfig("val", path=small / "squad/dev-v1.1.json")
    with pytest.raises(
        DataError, match=r"needs .*squad/dev-v2\.0\.json, which is missing.*was giv"
    ):
        load_source("squad2", config)
    assert load_source("squad_full", config).name == "squad_full"


def test_parquet_sets_too(tmp_path: Path) -> None:
    memalpha_folder(tmp_path)
    episodes = _convert(tmp_path / "memalpha", "--as", "memalpha")
    assert len({episode.episode_id for episode in episodes}) == 33


def test_splits_that_a_set_lacks_are_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = {
        "conversation": {"session_1": [{"speaker": "A", "dia_id": "D1:1", "text": "I like tea."}]},
        "qa": [{"question": "What do I like?", "answer": "tea", "category": 4}],
    }
    path = tmp_path / "any name.json"
    path.write_text(json.dumps(talk))
    (episode,) = _convert(path, "--as", "LoCoMo")
    assert episode.metadata["split"] == "test"
    assert "without split train: source 'locomo'" in capsys.readouterr().err


def test_the_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "nowhere.csv", "--out", "x.jsonl"]) == 2
    assert "expected a file that ends in" in capsys.readouterr().err


def test_a_set_without_an_adapter_points_to_the_page() -> None:
    for name in ("narrativeqa", "triviaqa"):
        with pytest.raises(ConfigError, match=r"unknown source .*convert`: docs/own-data\.md"):
            load_source(name)


# The page.


def _example() -> str:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def test_the_example_of_the_page_is_a_source_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(_example())
    (episode,) = read_episodes(path)
    assert episode.questions[2].unanswerable
    assert all(q.metadata["people"] == ["Mara", "Ben"] for q in episode.questions)
    env = gym.make("FineMem-AR-v0", source=str(path), split="test", memory_budget="unlimited")
    env.reset(seed=0)
    for chunk in episode.chunks:
        stored = [{"op": "INSERT", "content": chunk.text}]
        *_, info = env.step(json.dumps(stored))
    scores = {answer["id"]: answer["score"] for answer in info["answers"]}
    assert set(scores) == {"q0", "q1", "q2"}
    assert scores["q1"] == 1.0
    check_environment(lambda: gym.make("FineMem-AR-v0", source=str(path), split="test"))


def _explained(title: str) -> set[str]:
    section = PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_the_page_explains_every_field_and_uses_it() -> None:
    assert _explained("An episode") == schema._EPISODE
    assert _explained("A chunk") == schema._CHUNK
    assert _explained("A question") == schema._QUESTION
    record = json.loads(_example())
    asked = [*record["questions"], *record["chunks"][0]["questions"]]
    assert set(record) == schema._EPISODE
    assert {key for chunk in record["chunks"] for key in chunk} == schema._CHUNK
    assert {key for question in asked for key in question} == schema._QUESTION


def test_the_page_names_the_allowed_values() -> None:
    for names in (get_args(Competency), get_args(AnswersMode), get_args(Task), SPLITS):
        assert all(f"`{name}`" in PAGE for name in names)
    named = PAGE.partition("| `metric` | yes |")[2].partition("|\n")[0]
    metrics = set(re.findall(r"`([\w@]+)`", named)) - {"python"}
    assert metrics <= set(METRICS)
    assert len(metrics) >= 9


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reads, writes = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for block in (writes, reads):  # the page shows first what the file is for
        names: dict[str, Any] = {}
        exec(compile(block, "own-data.md", "exec"), names)
    assert names["env"].reset(seed=0)[1]["episode_id"] == "mara"
    (tmp_path / "made.jsonl").write_text((tmp_path / "mine.jsonl").read_text())
    assert load_source("made.jsonl", SourceConfig("test")).size == 1
    table = re.search(r"```text\n(document,.*?)```", PAGE, re.DOTALL)
    assert table is not None
    (tmp_path / "mine.csv").write_text(table[1])
    (episode,) = _convert(tmp_path / "mine.csv")
    assert len(episode.questions) == 2

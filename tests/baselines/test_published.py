"""The published tables, the page that shows them, and the command that fills our columns."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from baselines.published import fill, main, markdown, partial, plan
from baselines.runs.episodes import instance_seeds
from baselines.tables.published_tables import TABLES, PublishedTable, macro, mean
from baselines.tables.results import Result
from baselines.verify import main as verify
from finemem_env.cli.tables import markdown_table
from finemem_env.cli.tables import number as shown
from finemem_env.data.catalogue import SOURCES
from finemem_env.data.published.dialects import rule_for
from finemem_env.errors import ConfigError, DataError
from tests.backends.servers import StubServer
from tests.data.parquet_files import instance, mab_folder, memalpha_folder, write_parquet

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text("utf-8")
ROUNDING = 0.0015  # what rounding the columns to three decimals can make of their mean
QUICK = ("HotpotQA", "PubMed")  # columns that are soon played
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))


def tables_of(text: str) -> list[list[list[str]]]:
    """The markdown tables of a page: rows of cells, the heading first, without the rule."""
    found = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in one.splitlines()]
        for one in found
    ]


def number(cell: str) -> float | None:
    return None if cell == "-" else float(cell)


@every_table
def test_every_line_has_every_column_in_range(table: PublishedTable) -> None:
    assert all(len(row.scores) == len(table.columns) for row in table.rows)
    assert all(0.0 <= score <= 1.0 for row in table.rows for score in (*row.scores, row.reported))
    assert len({row.method for row in table.rows}) == len(table.rows)


@every_table
def test_columns_name_what_there_is(table: PublishedTable) -> None:
    for column in table.columns:
        for name in column.data_sources:
            rule = rule_for(name)
            assert rule is not None
            assert rule.competency == column.competency
        for options in column.rebuilt:
            for name in options.split("|"):
                assert SOURCES[name].competency == column.competency


def test_recomputed_averages_are_the_known_ones() -> None:
    def row(name: str, method: str) -> tuple[str, str]:
        table = TABLES[name]
        (found,) = [one for one in table.rows if one.method.startswith(method)]
        averages = mean(found.scores), macro(table.columns, found.scores)
        return f"{averages[0]:.3f}", f"{averages[1]:.3f}"

    assert row("memalpha", "Mem-α 4B") == ("0.619", "0.523")
    assert row("memalpha", "Long-Context") == ("0.588", "0.469")
    assert row("memalpha-mab", "RAG-Top2") == ("0.532", "0.413")
    assert row("memalpha-mab", "Mem-α 4B") == ("0.592", "0.476")
    assert row("memoryagentbench", "BM25") == ("0.453", "0.415")


def test_memoryagentbench_prints_the_macro_mean() -> None:
    table = TABLES["memoryagentbench"]
    for row in table.rows:
        average = macro(table.columns, row.scores)
        assert average == pytest.approx(row.reported, abs=0.0007)


def published_markdown(table: PublishedTable) -> str:
    """The published lines: the average as printed, both averages computed again, what it is off."""
    with_memory = any(row.memory is not None for row in table.rows)
    heading = ["method", *(column.name for column in table.columns)]
    heading += ["printed", "mean", "macro", f"printed - {table.headline}"]
    rows = []
    for row in table.rows:
        averages = {"mean": mean(row.scores), "macro": macro(table.columns, row.scores)}
        off = row.reported - (averages[table.headline] or 0.0)
        values = (*row.scores, row.reported, *averages.values())
        cells = [shown(value, bare=True) for value in values]
        cells.append(shown(off, sign=True, bare=True) if abs(off) > ROUNDING else "")
        rows.append([row.method, *cells])
        if with_memory:
            rows[-1].append("-" if row.memory is None else f"{row.memory:g}")
    return markdown_table([*heading, "memory [k]"] if with_memory else heading, rows)


@every_table
def test_the_page_shows_the_published_lines(table: PublishedTable) -> None:
    assert published_markdown(table) in PAGE


@every_table
def test_the_pages_own_lines_have_the_columns_and_their_averages(table: PublishedTable) -> None:
    heading = ["agent", *(column.name for column in table.columns)]
    (found,) = [
        one
        for one in tables_of(PAGE)
        if one[0][: len(heading)] == heading and one[0][-1] == "episodes"
    ]
    last = len(heading)
    for cells in found[2:]:
        scores = [number(cell) for cell in cells[1:last]]
        there = [i for i, score in enumerate(scores) if score is not None]
        known = [scores[i] for i in there]
        assert found[0][last] == f"mean of {len(there)}"
        assert mean(known) == pytest.approx(number(cells[last]), abs=0.0011)
        columns = [table.columns[i] for i in there]
        assert macro(columns, known) == pytest.approx(number(cells[last + 1]), abs=0.0011)


@pytest.mark.slow
def test_the_pages_own_lines_come_out_again(
    data_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = TABLES["memalpha"]
    there = [column for column in whole.columns if column.name in QUICK]
    monkeypatch.setitem(TABLES, "memalpha", dataclasses.replace(whole, columns=tuple(there)))
    given = ["memalpha", "--data", "rebuilt", "--data-dir", str(data_dir), "--agent", "rag"]
    assert main([*given, "--output-dir", str(tmp_path)]) == 0
    (found,) = [one for one in tables_of(capsys.readouterr().out) if one[0][0] == "agent"]
    (page,) = [
        one
        for one in tables_of(PAGE)
        if one[0][1:3] == [c.name for c in whole.columns[:2]] and one[0][-1] == "episodes"
    ]
    ours, theirs = (
        dict(zip(one[0], next(cells for cells in one if cells[0] == "`rag`"), strict=True))
        for one in (found, page)
    )
    assert {name: ours[name] for name in QUICK} == {name: theirs[name] for name in QUICK}


def result(task: str, score: float, **changes: Any) -> Result:  # noqa: ANN401
    return Result("a", 0, 0, "e", "TTL", score=score, memory_tokens=2000, task=task, **changes)


def test_lines_are_means_of_sub_datasets_then_of_columns() -> None:
    table = TABLES["memoryagentbench"]
    results = [
        *(result("squad", score) for score in (0.5, 0.7)),
        result("squad", 0.0, status="invalid"),
        *(result("banking77", score) for score in (1.0, 1.0, 1.0)),
        result("clinc150", 0.0, status="failed"),
    ]
    (line,) = fill(table, "rebuilt", results)
    assert (line.scores[0], line.scores[4]) == (0.6, 0.5)
    assert [score for score in line.scores if score is not None] == [0.6, 0.5]
    assert line.episodes == 6
    assert partial(table, "rebuilt", results) == "MCC is of banking77, clinc150 alone."
    heading, _, row = markdown(table, [line]).splitlines()
    assert "| mean of 2 | macro of 2 | memory [k] | episodes |" in heading
    assert row.startswith("| `a` | .600 | - | - | - | .500 |")
    assert "| .550 | .550 | 2.0 | 6 |" in row


def test_a_column_whose_model_failed_is_no_zero() -> None:
    (line,) = fill(TABLES["memalpha"], "rebuilt", [result("squad", 0.0, status="invalid")])
    assert line.scores == (None,) * 7
    assert "| - | - | - | 0 |" in markdown(TABLES["memalpha"], [line])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data_dir with both published sets, as small files of their schemas."""
    root = memalpha_folder(tmp_path_factory.mktemp("published"))
    mab_folder(root / "memoryagentbench")
    return root


def test_every_published_instance_is_played_once(published: Path, tmp_path: Path) -> None:
    asked = [("What is fact 0.1?", "v0x1")]
    rows = [instance(i, "squad", asked) | {"instance_id": i} for i in range(7)]
    write_parquet(tmp_path / "memalpha" / "test.parquet", rows)
    tasks, missing = plan(TABLES["memalpha"], "published", {"data_dir": str(tmp_path)}, None)
    assert [(task.name, task.episodes) for task in tasks] == [("squad", 7)]
    assert set(missing) == {
        "hotpotqa", "perltqa", "icl_trec_coarse_6600shot_balance", "icl_nlu_8296shot_balance",
        "pubmed-rct", "booksum",
    }  # fmt: skip
    given = ["memalpha", "--data-dir", str(tmp_path), "--agent", "rag"]
    assert main([*given, "--output-dir", str(tmp_path / "run")]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    ids = [one["episode_id"] for one in config["episodes"]]
    assert ids == [f"memalpha/test/{i}" for i in range(7)]
    assert config["settings"]["protocol"] == "mem-alpha"
    assert config["versions"]["data"].startswith("local ")


def test_judged_columns_are_left_out_and_named_without_a_judge(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["memoryagentbench", "--data-dir", str(published), "--agent", "rag"]
    given += ["--episodes", "1", "--verbose"]
    assert main([*given, "--output-dir", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert (
        "left out: longmemeval_s*: source 'memoryagentbench': answers of longmemeval_s* are" in err
    )
    assert "Configure one with judge=" in err
    assert '\nsettings: {"protocol": "memoryagentbench"' in out
    (found,) = tables_of(out)
    line = dict(zip(found[0], found[2], strict=True))
    assert (line["LME"], line["Summ"]) == ("-", "-")
    assert line["SH-Doc"] != "-"


def test_one_command_fills_the_table_with_a_model(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openai", reason="needs the extra openai")

    def reply(body: Any) -> str:  # noqa: ANN401
        text = body["messages"][-1]["content"]
        if "<chunk" in text:
            return '[{"op": "INSERT", "store": "semantic", "content": "Box number 3 holds v3."}]'
        return "yes" if "yes" in text else "Answer: v3"

    with StubServer(reply) as server:
        model = {"name": "openai", "model": "stub", "base_url": server.url, "thinking": False}
        given = ["memalpha-mab", "--data-dir", str(published), "--agent", "llm", "--agent-args"]
        given += [json.dumps({"backend": model}), "--reader", json.dumps(model)]
        given += ["--judge", json.dumps(model), "--output-dir", str(tmp_path / "run")]
        assert main(given) == 0
    (found,) = tables_of(capsys.readouterr().out)
    line = dict(zip(found[0], found[2], strict=True))
    assert line["SH"] == "1.000"
    assert line["LME"] != "-"


def test_a_run_goes_on_and_can_be_verified(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from baselines.runs.submission import write_submission

    folder = tmp_path / "run"
    given = ["memoryagentbench", "--data-dir", str(published), "--output-dir", str(folder)]
    given += ["--agent", "rag", "--agent", "fifo"]
    assert main(given) == 0
    whole = (folder / "results.jsonl").read_text().splitlines()
    assert main(given) == 2
    assert "already holds a run" in capsys.readouterr().err
    (folder / "results.jsonl").write_text("\n".join(whole[:3]) + "\n")
    assert main([*given, "--resume"]) == 0
    assert len((folder / "results.jsonl").read_text().splitlines()) == len(whole)
    write_submission(folder, tmp_path / "one.json")
    assert verify([str(tmp_path / "one.json"), "--trust-settings"]) == 0


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["--data-dir", "/nowhere"], "memalpha/test.parquet, which is missing"),
        (["--difficulty", '{"hub": "YuWangX/Memalpha"}'], "needs a revision"),
        (["--env-args", '{"topk": 2}'], "keyword 'topk'"),
        (["--judge", "local"], "the local reader cannot grade"),
        (["--reader", "nobody"], "'nobody'"),
        (["--data", "rebuilt", "--data-dir", "/nowhere"], "squad/dev-v1.1.json"),
    ],
)
def test_what_cannot_be_played_is_said(
    more: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["memalpha", *more, "--output-dir", str(tmp_path / "run")]) == 2
    assert error in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "given",
    [
        ["novels"],
        ["memalpha", "--agent", "nobody"],
        ["memalpha", "--agent-args", "{}"],
        ["memalpha", "--episodes", "0"],
        ["memalpha", "--judge", "{not json"],
    ],
)
def test_bad_options_are_usage_errors(given: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*given, "--output-dir", str(tmp_path)])
    assert stopped.value.code == 2


def test_seeds_of_instances_need_instances() -> None:
    import gymnasium as gym

    env: gym.Env[str, str] = gym.make("FineMem-AR-v0", disable_env_checker=True)
    with pytest.raises(ConfigError, match="a source of at least 3 instances"):
        instance_seeds(env, 0, 3)


def test_the_first_error_is_raised_when_nothing_can_be_played(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is missing"):
        plan(TABLES["memalpha"], "published", {"data_dir": str(tmp_path)}, None)

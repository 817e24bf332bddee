"""What is done with a finished run: agent, evaluation, export, plot, ablation."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

import torch

from agents import ablation, evaluate, export, plot
from agents.learn import checkpoint
from agents.learn.distributed import World
from agents.model.policy import load_policy
from agents.policy import Manager
from agents.runs import ablation_report, evaluation
from agents.runs.cells import TASKS, Cell
from agents.runs.config import PRESETS, TrainConfig
from agents.runs.curves import each_alone
from agents.runs.load import load_run
from agents.settings import ModelConfig
from agents.trainer import Run
from baselines.agents import make_agent
from baselines.tables.cost import HEADINGS
from finemem_env.disk import write_whole
from finemem_env.errors import BackendError, ConfigError

SMALL: dict[str, Any] = {
    **PRESETS["cpu"],
    "env_args": {**PRESETS["cpu"]["env_args"], "num_chunks": 2},
    "contexts": 1,
    "group_size": 2,
    "max_new_tokens": 12,  # no reply is whole, and none is looked at
    "updates": 1,
    "eval_every": 0,
    "eval_episodes": 1,
    "final_episodes": 0,
    "threads": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run = Run.start(TrainConfig(**SMALL), folder, resume=False, world=World())
    run.train()
    run.finish()
    return folder


def test_evaluate_writes_the_benchmarks_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "evaluation"
    given = ["--output-dir", str(output), "--episodes", "2", "--time-limit", "0"]  # in this process
    assert evaluate.main([str(folder), *given]) == 0
    assert (output / "results.jsonl").exists()
    assert (output / "summary.json").exists()
    lines = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    ours = [line for line in lines if line["agent"].startswith("agents.policy:Manager")]
    assert len(ours) == 2
    assert all(line["status"] == "ok" for line in ours)
    assert all(line["usage"]["manager"]["calls"] == line["steps"] > 0 for line in ours)
    heading = capsys.readouterr().out.splitlines()[0]
    assert heading.split()[-9:] == " ".join(HEADINGS).split()


def test_an_evaluation_goes_on_with_the_weights_that_it_began_with(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, output = tmp_path / "run", tmp_path / "evaluation"
    shutil.copytree(folder, run)
    given = [str(run), "--output-dir", str(output), "--episodes", "1", "--time-limit", "0"]
    assert evaluate.main(given) == 0
    assert evaluate.main([*given, "--resume"]) == 0
    best = max((run / "best").iterdir())
    best.rename(best.with_name("000099"))  # as if it had been trained further
    capsys.readouterr()
    assert evaluate.main([*given, "--resume"]) == 2
    assert "agents" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="those of update 99 by now, not of 98"):
        Manager(str(run), update=98)


def test_settings_of_an_ablation_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any]
    for given, said in (
        ({"lr": "3e-4"}, "lr: expected a number (above 0), got '3e-4'."),
        ({"lrr": 1.0}, "unknown setting 'lrr'"),
        ({"seed": 7}, "--set: seed is decided by the cells"),
        ({"final_episodes": 8}, "--set: final_episodes: cells are scored on --episodes"),
        ({"env_args": {"num_chunks": 1}}, "--set: env_args is decided by the cells"),
        ({}, "cell few-outcome-step-0 is named 2 times"),
    ):
        twice = [] if given else ["--seeds", "0", "--methods", "outcome", "outcome/step"]
        assert ablation.main([str(tmp_path / "cells"), "--set", json.dumps(given), *twice]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert said in error


def test_a_config_that_does_not_fit_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, said in (('{"lr": "x"}', "lr: expected"), ("{", "Expecting"), ("[1]", "JSON object")):
        (tmp_path / "config.json").write_text(text)
        assert evaluate.main([str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {tmp_path / 'config.json'}: ")
        assert said in error
        assert error.count("\n") == 1


def test_evaluate_needs_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err


def test_the_agent_replies_the_same_twice() -> None:
    agent = make_agent("agents.policy:Manager", {"temperature": 1.0, "max_new_tokens": 20})
    info = {"episode_id": "a", "instructions": ""}
    replies = []
    for _ in range(2):
        agent.reset(info)
        replies.append([agent.act("<chunk>", info) for _ in range(3)])
    assert replies[0] == replies[1]


def test_export_is_the_best_policy_as_a_plain_folder(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a 'model' of \"mine\""
    assert export.main([str(folder), str(target)]) == 0
    done = checkpoint.latest(folder / "best")
    assert done is not None
    _, best = load_run(folder)
    plain = load_policy(ModelConfig(str(target)))
    mine, its = checkpoint.trained(best.model), checkpoint.trained(plain.model)
    assert all(torch.equal(mine[name], its[name]) for name in mine)
    card = (target / "README.md").read_text()
    assert "library_name: transformers" in card
    assert f"| updates | {int(done.name)} of 1 (weights: best) |" in card
    words = shlex.split(card[card.index("python -m baselines") : card.rindex("```")])
    given = json.loads(words[words.index("--agent-args") + 1])
    assert given == {"model": str(target), "instructions": False}
    with pytest.raises(ConfigError, match="empty"):
        export.export(folder, target)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
        ({"temperature": -1}, "temperature must be at least 0, got -1"),
        ({"max_new_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"max_new_tokens": "8"}, "max_new_tokens must be an integer or null, got '8'"),
        ({"instructions": "no"}, "instructions must be true or false or null, got 'no'"),
        ({"seed": "a"}, "seed must be an integer, got 'a'"),
        ({"run": "RUN", "trust_settings": "no"}, "trust_settings must be true or false"),
        ({"run": "RUN", "model": "gpt2"}, "expected a run or a model, got both"),
        ({"update": 3}, "update is of a run, and there is none"),
        ({"run": 5}, "run must be a text or null, got 5"),
        ({"run": Path("none")}, "none: expected the folder of a run"),
    ],
)
def test_arguments_of_the_agent_are_checked(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Manager(**arguments)


def test_plot_draws_a_line_per_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "curves.svg"
    assert plot.main([str(folder), "--key", "rollout/score", "-o", str(output)]) == 0
    assert output.read_text().count(f">{folder.name}</text>") == 1
    assert plot.main([str(folder), "--key", "rollout/scores", "-o", str(output)]) == 2
    capsys.readouterr()
    assert plot.main([str(folder), f"{folder}/../{folder.name}", "-o", str(output)]) == 2
    assert capsys.readouterr().err.endswith(" is given 2 times: once is one seed.\n")
    capsys.readouterr()
    for name, said in (("curves.pdf", "ends in .svg or .png"), ("no/folder.svg", "No such")):
        assert plot.main([str(folder), "-o", str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert said in error
        assert error.count("\n") == 1
        assert not (tmp_path / name).exists()


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """An ablation of four cells that train nothing, in a folder of this name."""

    def fake(
        cell: Cell, folder: Path, base: dict[str, Any], count: int, _like: object
    ) -> dict[str, Any]:
        played = {"scores": [cell.seed / 2] * count, "memory": [9.0] * count}
        length = dict.fromkeys(("skip", "oracle", "initial", "best"), played)
        record = {**dataclasses.asdict(cell), "curve": [[0, 0.1]], "same": length, "longer": length}
        place = folder / cell.name
        place.mkdir(parents=True)
        (place / "cell.json").write_text(json.dumps(record))
        (place / "config.json").write_text(json.dumps(cell.config(base).as_dict()))
        return record

    monkeypatch.setattr(ablation, "run_cell", fake)
    monkeypatch.setattr(ablation_report, "RESAMPLES", 10)

    def run(name: str, *more: str) -> int:
        given = ["--seeds", "0", "1", "--episodes", "2", "--methods", "outcome/return", "chunk"]
        return ablation.main([str(tmp_path / name), *given, *more])

    return run


def test_shards_of_an_ablation_are_put_together(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study("whole") == 0
    printed = capsys.readouterr().out
    for name in ("1", "2"):
        assert study(name, "--shard", f"{name}/2") == 0
    assert "shard 2/2 is done: 2 cells" in capsys.readouterr().out
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    assert study("merged", "--merge", one, two) == 0
    assert capsys.readouterr().out == printed
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.*")]
    assert len(files) == 11
    for file in files:
        assert (tmp_path / "merged" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    for name, more, said in (
        ("new", ["--merge", one], "2 of 4 cells are missing, the first few-"),
        ("new", ["--merge", one, two, str(tmp_path / "whole")], "is there twice"),
        ("new", ["--merge", one, two, "--set", '{"lr": 1.0}'], "with other settings"),
        ("new", ["--merge", one, two, "--episodes", "3"], "with other settings"),
        ("whole", ["--merge", one, two], "is there already"),
        ("new", ["--merge", one, "nowhere"], "nowhere: expected what a shard gave"),
    ):
        assert study(name, *more) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "new").exists()


def test_a_merging_that_is_stopped_while_it_writes_begins_anew(
    study: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert study("whole") == 0
    for name in ("1", "2"):
        assert study(name, "--shard", f"{name}/2") == 0
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    writes: Iterator[int] = iter(())

    def stops(*file: Any) -> None:  # noqa: ANN401
        next(writes)
        write_whole(*file)

    for name in ("new", "1"):
        writes = iter(range(3))
        monkeypatch.setattr(ablation, "write_whole", stops)
        with pytest.raises(StopIteration):
            study(name, "--merge", one, two)
        monkeypatch.setattr(ablation, "write_whole", write_whole)
        assert study(name, "--merge", one, two) == 0
        merged, whole = (tmp_path / place / "table.md" for place in (name, "whole"))
        assert merged.read_bytes() == whole.read_bytes()
    assert study("1", "--merge", one, two) == 0


def test_a_cell_has_no_score_where_the_reader_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = [SimpleNamespace(agent=name, status="invalid") for name in ("skip", "oracle")]
    monkeypatch.setattr(evaluation, "play_references", lambda *given, **more: failed)
    config = Cell.of("chunk", "short", 0).config(PRESETS["cpu"])
    with pytest.raises(BackendError, match=r"cell: the reader failed in 2 of 2 episodes"):
        ablation._score(config, tmp_path / "cell", 1, 1, ("initial", "best"))


def test_a_method_may_ask_for_local_re_rollouts() -> None:
    cell = Cell.of("outcome/return/state", "few", 1)
    assert cell.name == "few-outcome-return-1-state"
    assert cell.config(SMALL).sampling.compare == "state"
    assert Cell.of("outcome/return", "few", 1).name == "few-outcome-return-1"
    with pytest.raises(ConfigError, match="Did you mean 'state'"):
        Cell.of("outcome/return/stat", "few", 1)


def test_an_ablation_goes_on_cell_by_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {key: SMALL[key] for key in SMALL if key != "env_args"}
    arguments = [
        str(tmp_path),
        "--tasks",
        "few",
        "--seeds",
        "0",
        "--episodes",
        "1",
        "--set",
        json.dumps(settings),
    ]
    monkeypatch.setitem(TASKS, "few", {**SMALL["env_args"], "num_chunks": 1})
    monkeypatch.setattr(ablation_report, "RESAMPLES", 10)
    assert ablation.main([*arguments, "--methods", "outcome/return"]) == 0
    cell = tmp_path / "few-outcome-return-0" / "cell.json"
    first = cell.stat().st_mtime_ns
    played = Mock(wraps=evaluation.play_references)
    monkeypatch.setattr(evaluation, "play_references", played)
    assert ablation.main([*arguments, "--methods", "outcome/return", "fine-mem"]) == 0
    # They are those of the first cell.
    assert [call.kwargs["agents"] for call in played.call_args_list] == [[], []]
    assert cell.stat().st_mtime_ns == first
    record = json.loads(cell.read_text())
    assert [update for update, _ in record["curve"]] == [0, 1]
    assert {len(record["longer"][name]["scores"]) for name in record["longer"]} == {1}
    text = (tmp_path / "table.md").read_text()
    assert "| few | outcome, return | 1 |" in text
    assert "| few | fine-mem, step | 1 |" in text
    second = json.loads((tmp_path / "few-fine-mem-step-0" / "cell.json").read_text())
    for length, name in product(("same", "longer"), ("skip", "oracle", "initial")):
        assert second[length][name] == record[length][name]
    assert second["same"].keys() == record["same"].keys()
    chart = (tmp_path / "curves-few.svg").read_text()
    assert [chart.count(f">{one}</text>") for one in ("outcome", "fine-mem")] == [1, 1]
    assert ablation.main([*arguments, "--methods", "outcome/returns"]) == 2
    assert "did you mean 'return'" in capsys.readouterr().err.casefold()


def test_runs_of_one_name_are_told_apart() -> None:
    runs = [Path("a/run"), Path("b/run"), Path("b/other")]
    assert list(each_alone(runs)) == ["a/run", "b/run", "other"]

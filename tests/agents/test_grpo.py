"""The training loop on the packaged model: logging, resuming, signals, and what must stop it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

import torch
from safetensors.torch import load_file

from agents import trainer
from agents.grpo import main
from agents.learn import checkpoint
from agents.learn.distributed import World
from agents.learn.rollout import RolloutSampling
from agents.runs.beside import normalised, reference_lines
from agents.runs.config import PRESETS, TrainConfig
from agents.runs.evaluation import REFERENCES, final_results
from agents.runs.metrics import means
from agents.runs.tracking import METRICS, Tracker
from agents.trainer import Interrupted, Run, TrainingError
from finemem_env.errors import BackendError, ConfigError
from finemem_env.inspect import RecordedTraces
from tests.agents.forks import Group, launch, updates_of, wait_for

if TYPE_CHECKING:
    from agents.runs.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {
    **PRESETS["cpu"],
    "env_args": {**PRESETS["cpu"]["env_args"], "num_chunks": 2},
    "contexts": 2,
    "group_size": 3,
    "max_new_tokens": 24,
    "updates": 2,
    "eval_every": 1,
    "eval_episodes": 2,
    "final_episodes": 2,
    "save_every": 1,
    "lr_schedule": "constant",  # a linear one depends on the number of updates
    "threads": 1,
}
# The same with one chunk an episode, where nothing is asked of more.
BRIEF = SMALL | {
    "env_args": {**SMALL["env_args"], "num_chunks": 1},
    "max_new_tokens": 16,
    "eval_episodes": 1,
}


def brief(**changes: object) -> TrainConfig:
    return TrainConfig(**BRIEF | changes)


def small(**changes: object) -> TrainConfig:
    return TrainConfig(**SMALL | changes)


def train(config: TrainConfig, folder: Path, *, resume: bool = False) -> Run:
    run = Run.start(config, folder, resume=resume, world=World())
    run.train()
    return run


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in checkpoint.trained(run.policy.model).items()}


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = train(small(), tmp_path_factory.mktemp("run"))
    run.finish()
    return run


def records(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_updates_are_one_and_one_after_a_resume(whole: Run, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "000002")
    resumed = train(small(), tmp_path / "run", resume=True)
    assert equal(weights(whole), weights(resumed))
    for one, two in zip(records(whole.folder), records(tmp_path / "run"), strict=True):
        assert {k: v for k, v in one.items() if not k.startswith("time/")} == {
            k: v for k, v in two.items() if not k.startswith("time/")
        }


def test_a_run_that_was_stopped_keeps_its_schedule(tmp_path: Path) -> None:
    config = brief(lr_schedule="linear", eval_every=0)
    stopped = Run.start(config, tmp_path / "halves", resume=False, world=World())
    stopped.stop = lambda: stopped.position.update == 1
    with pytest.raises(Interrupted):
        stopped.train()
    shutil.copytree(tmp_path / "halves", tmp_path / "sooner")
    resumed = train(config, tmp_path / "halves", resume=True)
    assert equal(weights(resumed), weights(train(config, tmp_path / "whole")))
    assert not equal(weights(resumed), weights(stopped))
    # Without evaluations on the way there is no contest: the last weights are kept.
    assert checkpoint.latest(tmp_path / "halves" / "best") == tmp_path / "halves/best/000002"
    # Or it ends where it was stopped, and is evaluated there.
    assert "eval/score" not in records(tmp_path / "sooner")[-1]
    for _ in range(2):
        train(
            brief(lr_schedule="linear", eval_every=0, updates=1), tmp_path / "sooner", resume=True
        )
        last = records(tmp_path / "sooner")[-2:]
        assert [("eval/score" in one, one["update"]) for one in last] == [(False, 1), (True, 1)]


def test_a_run_that_ended_before_its_first_update_logs_the_start_once(tmp_path: Path) -> None:
    config = brief(updates=1, eval_every=0)
    run = Run.start(config, tmp_path, resume=False, world=World())
    run._evaluate()
    run._save()
    run.close()
    train(config, tmp_path, resume=True)
    assert [record["update"] for record in records(tmp_path)] == [0, 1]


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")

    monkeypatch.setattr(Tracker, "log", fail)
    more = ["--smoke", "--curriculum", "1:9,2", "--output-dir", str(tmp_path)]
    assert main(more) == 2
    errors = capsys.readouterr().err
    assert errors.count("error: ") == 1
    begins = "runs:   2 updates: model tiny on FineMem-AR-v0, preset cpu\nwrites: "
    watch = f"watch:  tensorboard --logdir {tmp_path.parent}\n"
    said = "warning: 2 updates do not reach episodes of 2 chunks (curriculum: after update 9).\n"
    assert f"{begins}{tmp_path}\n{watch}{said}" in errors
    assert "metrics.jsonl: No space left on device." in errors


def test_weights_change_and_the_best_are_kept(whole: Run) -> None:
    fresh = Run.start(small(), whole.folder / "fresh", resume=False, world=World())
    assert not equal(weights(whole), weights(fresh))
    assert checkpoint.latest(whole.folder / "best") is not None
    assert whole.position.best_score >= 0


def test_the_resolved_settings_of_the_environment_are_in_the_run(whole: Run) -> None:
    found = json.loads((whole.folder / "environment.json").read_text())
    assert (found["protocol"], found["memory_view"]) == ("managed", "recent:1")
    assert found["reward"]["name"] == "fine-mem-earned"


def test_the_table_holds_before_after_and_the_references(whole: Run) -> None:
    rows = json.loads((whole.folder / "final.json").read_text())
    assert [row["agent"] for row in rows] == [
        "before",
        "after",
        *REFERENCES,
    ]
    assert "normalised" in (whole.folder / "final.txt").read_text()


def test_kept_weights_that_are_gone_are_not_taken_for_the_first_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="best: expected the kept weights of the run, found none"):
        final_results(brief(), tmp_path, RolloutSampling(4), [1], 0)


def test_an_evaluation_without_the_reader_ends_the_run_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.learn.rollout.Rollout.graded", False)
    with pytest.raises(BackendError, match=r"reader answered .* none of 1 episodes.*--resume"):
        train(brief(), tmp_path)


def test_a_curriculum_lengthens_training_episodes_and_survives_a_resume(tmp_path: Path) -> None:
    settings = {"curriculum": "1:1,2", "eval_every": 0, "final_episodes": 0, "save_every": 1}
    settings |= {"warmup_updates": 0}
    train(brief(updates=1, **settings), tmp_path)
    said = (tmp_path / "warnings.txt").read_text()
    assert said == "1 update does not reach episodes of 2 chunks (curriculum: after update 1).\n"
    train(brief(updates=2, **settings), tmp_path, resume=True)
    assert not (tmp_path / "warnings.txt").exists()
    chunks = [one["rollout/chunks"] for one in records(tmp_path) if "rollout/chunks" in one]
    assert chunks == [1, 2]


def test_local_re_rollouts_train_at_the_same_cost(whole: Run, tmp_path: Path) -> None:
    run = train(
        small(updates=1, eval_every=0, final_episodes=0, compare="state", local_steps=1), tmp_path
    )
    (ours,) = [one for one in records(tmp_path) if "rollout/replies" in one]
    theirs = next(one for one in records(whole.folder) if "rollout/replies" in one)
    assert ours["rollout/replies"] == theirs["rollout/replies"] == 12
    assert {key for key in theirs if key.startswith("reward/step/")} <= ours.keys()
    assert ours["train/grad_norm"] > 0
    assert [one.start for one in run.source.take(1).rollouts] == [0] * 6 + [1] * 6


def _plain(key: str) -> str:
    key = re.sub(r"^reward/step/\d+$", "reward/step/<t>", key)
    key = re.sub(r"^rollout/operations/.+$", "rollout/operations/<op>", key)
    return re.sub(r"^rollout/rejects/.+$", "rollout/rejects/<reason>", key)


def test_the_docs_explain_exactly_the_keys_of_a_run(whole: Run, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "training-metrics.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `([a-z]+/[^`]+)` \| (.+) \|$", text, re.MULTILINE)
    assert dict(shown) == METRICS
    more = train(brief(updates=1, kl_beta=0.1, delta=3.0, eval_every=0), tmp_path)
    logged = {
        _plain(key)
        for run in (whole, more)
        for record in records(run.folder)
        for key in record
        if key != "update"
    }
    assert logged <= set(METRICS)
    elsewhere = {"train/sampler_difference"}  # test_engines.py
    elsewhere |= {key for key in METRICS if key.startswith("final/")}  # TensorBoard alone, below
    assert set(METRICS) - logged <= {"rollout/rejects/<reason>"} | elsewhere


def _events(folder: Path) -> Any:  # noqa: ANN401 - tensorboard has no types
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(
        str(folder), size_guidance=dict.fromkeys(("tensors", "histograms", "images"), 0)
    )
    events.Reload()
    return events


def test_tensorboard_holds_numbers_distributions_a_text_and_a_picture(whole: Run) -> None:
    events = _events(whole.folder)
    tags = events.Tags()
    assert {"rollout/score", "reward/format", "train/loss", "eval/score", "time/sample"} <= set(
        tags["scalars"]
    )
    kinds = ("reward", "advantage", "memory_tokens")
    assert [f"histogram/{kind}" in tags["histograms"] for kind in kinds] == [True] * 3
    assert [one.step for one in events.Histograms("histogram/reward")] == [1, 2]
    rows = SMALL["contexts"] * SMALL["group_size"] * SMALL["env_args"]["num_chunks"]
    assert events.Histograms("histogram/reward")[0].histogram_value.num == rows
    assert [one.step for one in events.Images("eval/credit")] == [0, 1, 2]
    texts = [one.tensor_proto.string_val[0] for one in events.Tensors("eval/sample/text_summary")]
    assert len(texts) == 3
    assert b"### Final questions" in texts[0]


def test_scripted_agents_are_lines_beside_the_run(whole: Run) -> None:
    lines = json.loads((whole.folder / "references.json").read_text())["lines"]
    assert list(lines) == ["skip", "fifo", "salience", "oracle"]
    assert (lines["skip"]["eval/score"], lines["oracle"]["eval/normalised"]) == (0.0, 1.0)
    for name, values in lines.items():
        events = _events(whole.folder / "reference" / name)
        for key, value in values.items():
            points = [(one.step, one.value) for one in events.Scalars(key)]
            assert points == [(0, pytest.approx(value)), (2, pytest.approx(value))]
    for record in records(whole.folder):
        if "eval/score" in record:
            share = record["eval/score"] / lines["oracle"]["eval/score"]
            assert record["eval/normalised"] == pytest.approx(share)


def test_references_are_played_once(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("played again")

    monkeypatch.setattr("agents.runs.beside.play_references", never)
    place = whole.config.environment.env, whole.config.environment.evaluation("val")
    assert reference_lines(whole.folder, *place, whole.held_out.validation)
    with pytest.raises(AssertionError, match="played again"):
        reference_lines(whole.folder, *place, [1, 2, 3])


def test_where_nothing_can_be_won_there_is_no_normalised_score() -> None:
    alike = {"skip": {"eval/score": 0.5}, "oracle": {"eval/score": 0.5}}
    assert normalised(0.5, alike) == {}
    assert normalised(0.5, {**alike, "oracle": {"eval/score": 1.0}}) == {"eval/normalised": 0.0}


def test_hparams_are_compared_by_the_final_score(whole: Run) -> None:
    events = _events(whole.folder)
    (after,) = [
        row
        for row in json.loads((whole.folder / "final.json").read_text())
        if row["agent"] == "after"
    ]
    found = {key: events.Scalars(f"final/{key}")[-1] for key in ("score", "memory_tokens")}
    assert {key: one.value for key, one in found.items()} == {
        key: pytest.approx(after[key]) for key in found
    }
    assert {one.step for one in found.values()} == {2}
    experiment = str(events.summary_metadata["_hparams_/experiment"])
    assert "final/score" in experiment
    assert "eval/best_score" in experiment


def test_every_evaluation_leaves_traces_to_inspect(whole: Run) -> None:
    found = [one.trace for one in RecordedTraces(whole.folder)]
    assert [one.agent for one in found[::2]] == ["update 0", "update 1", "update 2"]
    evaluations = [r for r in records(whole.folder) if "eval/score" in r]
    for record, pair in zip(evaluations, (found[:2], found[2:4], found[4:]), strict=True):
        scores = [one.score for trace in pair for one in trace.answers]
        assert record["eval/score"] == pytest.approx(sum(scores) / len(scores))


def test_tensorboard_holds_the_best_score_as_a_curve_in_one_file(whole: Run) -> None:
    assert len(list(whole.folder.glob("events.*"))) == 1
    events = _events(whole.folder)
    curve = events.Scalars("eval/best_score")
    assert [one.step for one in curve] == [0, 1, 2]  # once each
    best = {one.step: one.value for one in curve}
    scores = {r["update"]: r["eval/score"] for r in records(whole.folder) if "eval/score" in r}
    assert best == {
        update: pytest.approx(max(scores[one] for one in scores if one <= update))
        for update in scores
    }
    assert "session_start_info" in "".join(events.summary_metadata)


def test_an_option_of_weight_zero_is_its_absence(whole: Run, tmp_path: Path) -> None:
    off = {"entropy_coef": 0.0, "kl_beta": 0.0, "weight_decay": 0.0}
    other = train(small(updates=1, eval_every=0, eval_episodes=1, **off), tmp_path)
    first = load_file(whole.folder / "checkpoints" / "000001" / "weights.safetensors")
    assert equal(first, weights(other))
    assert not equal(first, weights(whole))


def test_several_optimizer_steps_have_a_ratio(tmp_path: Path) -> None:
    run = train(brief(updates=1, optimizer_steps=3, lr=1e-3, eval_every=0), tmp_path)
    (last,) = [record for record in records(run.folder) if record["update"] == 1]
    assert last["train/ratio_max"] > 1.0
    # Of two contexts with one step each there is nothing left for a third.
    assert {int(state["step"]) for state in run.optimizer.state.values()} == {2}


def test_a_folder_in_use_needs_resume(whole: Run) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        Run.start(small(), whole.folder, resume=False, world=World())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_resumed_run_keeps_nothing_of_updates_that_a_kill_took_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.2, 0.3, 0.4, 0.1])

    def scored(parts: Any) -> dict[str, float]:  # noqa: ANN401
        values = means(parts)
        return values | ({"eval/score": next(scores)} if "eval/score" in values else {})

    def kill(_: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agents.trainer.means", scored)
    train(brief(updates=1), tmp_path)
    save = Run._save
    monkeypatch.setattr(Run, "_save", kill)
    with pytest.raises(KeyboardInterrupt):
        train(brief(updates=3, save_every=9), tmp_path, resume=True)
    monkeypatch.setattr(Run, "_save", save)
    # Update 1 is where it goes on, so that its weights are still there.
    assert names(tmp_path / "best") == ["000000", "000001", "000003"]
    train(brief(updates=2), tmp_path, resume=True)
    assert names(tmp_path / "best") == ["000001"]
    assert names(tmp_path / "samples") == [f"update-{number:06d}.jsonl" for number in range(3)]


def test_a_run_cannot_end_before_where_it_is(tmp_path: Path) -> None:
    train(brief(updates=2, eval_every=0), tmp_path)
    with pytest.raises(ConfigError, match=r"updates: expected at least the 2 that .*, got 1\."):
        train(brief(updates=1, eval_every=0), tmp_path, resume=True)
    assert json.loads((tmp_path / "config.json").read_text())["updates"] == 2


def test_best_weights_without_a_checkpoint_are_not_replaced(tmp_path: Path) -> None:
    run = train(brief(updates=1, eval_every=0), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    for resume, said in ((False, "holds a run"), (True, r"weights are of update 1, and it has no")):
        with pytest.raises(ConfigError, match=said):
            train(brief(updates=1, eval_every=0), tmp_path, resume=resume)
    kept = load_file(tmp_path / "best" / "000001" / "weights.safetensors")
    assert equal(kept, weights(run))


def test_best_weights_that_are_gone_are_said_before_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(brief(updates=1), tmp_path)
    shutil.rmtree(tmp_path / "best")
    run = train(brief(updates=2), tmp_path, resume=True)
    assert "000000 is gone: the next evaluation decides anew." in capsys.readouterr().err
    assert run.position.best_update == 2


def test_other_settings_cannot_resume(whole: Run) -> None:
    with pytest.raises(ConfigError, match="other settings"):
        Run.start(small(lr=1.0), whole.folder, resume=True, world=World())


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(tmp_path: Path) -> None:
    run = Run.start(brief(), tmp_path, resume=False, world=World())
    before = weights(run)
    for parameter in run.policy.model.parameters():
        parameter.register_hook(lambda gradient: gradient * float("nan"))  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingError, match=r"update 1: .*checkpoint"):
        run.train()
    assert equal(before, weights(run))


def test_updates_without_a_row_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run must not seem to train while servers give it nothing that it can learn from."""
    monkeypatch.setattr(trainer, "rows_of", lambda *_: [])
    with pytest.raises(TrainingError, match=r"rows of the last 5 updates failed.*--resume"):
        train(brief(updates=7), tmp_path)
    assert saved(tmp_path) == 5
    monkeypatch.undo()
    assert train(brief(updates=7), tmp_path, resume=True).position.update == 7


@pytest.mark.parametrize("setting", ["lr", "weight_decay"])
def test_weights_that_are_not_finite_are_not_kept(tmp_path: Path, setting: str) -> None:
    with pytest.raises(TrainingError, match=r"update 1: a weight that is not finite.*checkpoint"):
        train(brief(updates=1, warmup_updates=0, **{setting: 1e308}), tmp_path)
    assert saved(tmp_path) == 0


def test_more_optimizer_steps_than_groups_are_as_many_as_groups(tmp_path: Path) -> None:
    logged = []
    for steps in (2, 9):  # two contexts of one chunk
        config = brief(updates=1, eval_every=0, optimizer_steps=steps, final_episodes=0)
        train(config, tmp_path / str(steps))
        last = records(tmp_path / str(steps))[-1]
        logged.append({key: value for key, value in last.items() if key.startswith("train/")})
    assert logged[0] == logged[1]


def test_an_evaluation_at_which_the_model_breaks_says_so(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"not finite at temperature 1e-40.*eval_temperature"):
        train(brief(eval_temperature=1e-40), tmp_path)


def test_errors_of_the_command_line_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--env", "FineMem-XX-v0", "--output-dir", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("error: env:") == 1


def start(folder: Path, *more: str) -> Group:
    """A run of many updates in a process of its own."""
    settings = {**BRIEF, "updates": 400, "eval_every": 0, "final_episodes": 0}
    given: list[str] = []
    for key, value in settings.items():
        name = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            given.append(name if value else "--no-" + name[2:])
        else:
            given += [name, json.dumps(value) if isinstance(value, dict) else str(value)]
    return launch(folder, *given, *more, size=1)


def saved(folder: Path) -> int:
    """The update of the last checkpoint, -1 if there is none."""
    last = checkpoint.latest(folder / "checkpoints")
    return -1 if last is None else int(last.name)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_exits(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "run"
    process = start(folder, "--save-every", "1000")
    wait_for(lambda: updates_of(folder) > 0, lambda: process.alive)
    process.send(number)
    assert process.wait() == [130]
    assert "--resume" in folder.with_suffix(".log").read_text("utf-8")
    assert saved(folder) >= 1


@pytest.mark.slow
def test_after_a_kill_the_run_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(lambda: saved(folder) >= 2, lambda: process.alive)
    process.send(signal.SIGKILL)
    process.wait()
    config = brief(updates=saved(folder) + 1, eval_every=0, final_episodes=0)
    resumed = train(config, folder, resume=True)
    straight = train(config, tmp_path / "straight")
    assert equal(weights(resumed), weights(straight))

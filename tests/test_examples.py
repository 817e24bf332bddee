"""Every file of examples/ runs as it stands, in this process, and prints what its page promises."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.learn.advantages import Estimator, RolloutRewards, compute_advantages
from finemem_env.data.registry import SOURCES
from finemem_env.extension import unregister
from finemem_env.readers import READERS
from finemem_env.registry import Registry
from finemem_env.rewards import ATTRIBUTIONS, REWARDS
from tests.integrations.serving import served

Run = Callable[..., str]
REGISTRIES: dict[str, Registry[Any]] = {
    "reader": READERS,
    "attribution": ATTRIBUTIONS,
    "reward": REWARDS,
    "source": SOURCES,
}
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture
def example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Runs one by its name and returns what it printed; what it registers is taken back."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    here = {kind: set(registry) for kind, registry in REGISTRIES.items()}

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    yield run
    for kind, registry in REGISTRIES.items():
        for name in set(registry) - here[kind]:
            unregister(kind, name)


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def test_files_of_at_most_sixty_lines() -> None:
    for name in FILES:
        text = (EXAMPLES / f"{name}.py").read_text("utf-8")
        assert len(text.splitlines()) <= 60, name
        assert text.startswith('"""'), name
    listed = re.findall(r"\[(\w+)\.py\]", (EXAMPLES / "README.md").read_text("utf-8"))
    assert sorted(listed) == FILES


def test_own_loop(example: Run) -> None:
    scores = [float(line.split()[-1]) for line in example("own_loop", "3").splitlines()]
    assert len(scores) == 3
    assert all(0 < score < 1 for score in scores)


def test_own_agent(example: Run) -> None:
    table = example("own_agent")
    rows = {line.split()[0]: float(line.split()[2]) for line in table.splitlines()[2:]}
    (mine,) = (score for name, score in rows.items() if name.endswith("own_agent:Names"))
    assert rows["skip"] < mine < rows["oracle"]


def test_own_reader(example: Run) -> None:
    lines = example("own_reader").splitlines()
    found = [re.search(r"^(\S+) +score (\S+), credit (\S+)", line) for line in lines]
    names, scores, _ = zip(*(one.groups() for one in found if one), strict=True)
    assert names[:2] == ("overlap/1", "overlap/1")
    assert float(scores[1]) < float(scores[0])


def test_own_reward(example: Run) -> None:
    rows = {line.split()[0]: line.split()[1:] for line in example("own_reward").splitlines()}
    assert list(rows) == ["fine-mem-earned", "fine-mem", "newest-first"]
    assert len({tuple(row) for row in rows.values()}) == 3


def test_own_source(example: Run) -> None:
    scores = {
        line.split()[0]: float(line.split()[-1]) for line in example("own_source").splitlines()
    }
    assert scores["skip"] == 0.0
    assert scores["store_chunks"] < scores["salience"] <= scores["oracle"] == 1.0


def test_chat_loop(example: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(tmp_path / "notes.json")
    said = "My sister Mara moved to Osta in May.\nHello!\nWhere does Mara live?\n\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    noted = example("chat_loop", file).splitlines()
    assert noted[:2] == ["Noted.", "I see."]
    assert noted[2] == "I remember: My sister Mara moved to Osta in May."
    monkeypatch.setattr(sys, "stdin", io.StringIO("Where does Mara live?\n"))
    assert example("chat_loop", file).splitlines()[0] == noted[2]


def test_plotting(example: Run, tmp_path: Path) -> None:
    needs("matplotlib")
    rows = [{"update": i, "rollout/score": i / 10, "eval/score": None} for i in range(5)]
    (tmp_path / "run").mkdir()
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "run" / "metrics.jsonl").write_text(text, "utf-8")
    output = tmp_path / "curves.png"
    example("plotting", str(tmp_path / "run"), "-o", str(output))
    assert output.read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore")
def test_ppo(example: Run) -> None:
    needs("torch")
    (line,) = example("ppo", "512").splitlines()
    assert re.fullmatch(r" +\d+ episodes, score of the last fifty 0\.\d{3}", line)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trl_grpo(example: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("trl")
    from trl.trainer.grpo_trainer import GRPOTrainer

    seen: list[tuple[Any, Any]] = []
    weights: list[float] = []
    whole = GRPOTrainer._generate_and_score_completions

    def watched(self: Any, inputs: Any) -> Any:  # noqa: ANN401
        weights.append(
            sum(float(one.detach().double().abs().sum()) for one in self.model.parameters())
        )
        seen.append((inputs, whole(self, inputs)))  # TRL adds to `inputs` what a row is paid
        return seen[-1][1]

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", watched)
    out = example("trl_grpo", "2")
    assert re.findall(r"update (\d): score 0\.\d{3}", out) == ["1", "2"]
    assert len(set(weights)) == 2
    for update, (inputs, made) in enumerate(seen):
        assert [one["prompt"] for one in inputs] == [
            f"{update} {t}" for t in range(3) for _ in range(4)
        ]
        paid = np.array([one["step_reward"] for one in inputs]).reshape(3, 4)  # (T, G)
        ours = compute_advantages(
            [RolloutRewards(update, row, row, [True] * 3) for row in paid.T.tolist()],
            Estimator(credit="step", scale="cell", floor=0.0, epsilon=1e-4),
        )
        theirs = made["advantages"].reshape(3, 4).T
        assert np.abs(theirs.numpy() - np.stack(ours.values)).max() < 1e-4
        assert np.abs(theirs).max() > 0.1


def test_openenv_server(capsys: pytest.CaptureFixture[str]) -> None:
    needs("openenv")
    from finemem_env.integrations.openenv import make_app

    play = runpy.run_path(str(EXAMPLES / "openenv_server.py"))["play"]
    with served(make_app("FineMem-AR-v0")) as url:
        play(url)
    score, rewards = re.findall(r"^(?:score|step rewards) (.*)$", capsys.readouterr().out, re.M)
    assert 0 < float(score) <= 1
    assert len(json.loads(rewards)) == 10

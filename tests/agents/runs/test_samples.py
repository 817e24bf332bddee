"""The episode that TensorBoard shows: everything is on it, and nothing in it is obeyed."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest

pytest.importorskip("torch", reason="the agents need torch")

import finemem_env  # noqa: F401
from agents.runs.samples import sample
from baselines.runs.runner import session_of
from baselines.tables.drawing import Label, Stroke

EVIL = "<script>alert(1)</script> | **bold** [x](javascript:1) `code` \u202e"


def _env() -> gym.Env[str, str]:
    roomy = {"num_chunks": 2, "memory_budget": "unlimited", "disable_env_checker": True}
    return gym.make("FineMem-AR-v0", **roomy)  # type: ignore[arg-type]


def _played(actions: list[str]) -> Any:  # noqa: ANN401 - stands for a rollout
    env = _env()
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    return SimpleNamespace(session=session_of(env))


@pytest.fixture(scope="module")
def rollout() -> Any:  # noqa: ANN401
    observation, _ = _env().reset(seed=0)
    chunk = observation.partition(">\n")[2].partition("\n</chunk>")[0]
    content = chunk.replace('"', "'").replace("\n", " ")
    return _played([f'[{{"op": "INSERT", "content": "{content}"}}]', EVIL])


def _plain(text: str) -> str:
    """The text as a browser shows it."""
    return re.sub(r"&#(\d+);", lambda sign: chr(int(sign[1])), text)


def test_memory_rewards_answers_and_lost_questions_are_there(rollout: Any) -> None:  # noqa: ANN401
    text, _ = sample(rollout)
    last = rollout.session.record.results[-1]
    plain = _plain(text)
    for t, reward in enumerate(last.step_rewards):
        assert f"### Step {t} of 2: reward {reward:.3f}, memory " in plain
    assert "**memory**\n\n- [1] " in plain
    assert "INSERT accepted" in plain
    assert ": no operation found\n" in plain
    assert "never stored" in plain
    assert "| answered |" in plain
    assert "**asked** " in plain
    questions = [one.question.question for one, _ in rollout.session.record.finals]
    assert all(question[:60] in plain for question in questions)
    table = [line for line in plain.splitlines() if re.match(r"\| q\d", line)]
    answered = [line.endswith("| answered |") for line in table]
    assert answered == sorted(answered), "what is lost stands first"


def test_the_map_crosses_out_the_step_at_which_an_answer_was_lost(rollout: Any) -> None:  # noqa: ANN401
    stored = rollout.session.record.actions[0]
    _, credit = sample(_played([stored, '[{"op": "DELETE", "id": 1}]']))
    crosses = [one for one in credit.shapes if isinstance(one, Stroke) and one.width == 2]
    labels = [one.text for one in credit.shapes if isinstance(one, Label)]
    deleted = sum(": deleted" in one for one in labels)
    assert len(crosses) == 2 * deleted > 0


def test_a_long_episode_is_cut(rollout: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr("agents.runs.samples._STEPS", 1)
    monkeypatch.setattr("agents.runs.samples._ROWS", 1)
    text, credit = sample(rollout)
    assert "### Step 0 of 2" in text
    assert "### Step 1 of 2" not in text
    assert "The other steps" in text
    labels = [one.text for one in credit.shapes if isinstance(one, Label)]
    assert any(one.endswith("(the first of them)") for one in labels)


def test_nothing_of_an_agent_is_markup(rollout: Any) -> None:  # noqa: ANN401
    text, _ = sample(rollout)
    assert "<script" not in text
    assert "\u202e" not in text
    assert "**bold**" not in text
    assert "](javascript" not in text
    assert "`" not in text
    assert EVIL.replace("\u202e", "\\u202e") in _plain(text)
    # It wraps: no line is shown as it is.
    assert not re.search(r"^(    |```)", text, re.MULTILINE)


def test_the_map_has_a_row_for_every_question_and_its_credit(rollout: Any) -> None:  # noqa: ANN401
    _, credit = sample(rollout)
    finals = rollout.session.record.finals
    labels = [one.text for one in credit.shapes if isinstance(one, Label)]
    assert sum(": answered" in one or ": never stored" in one for one in labels) == len(finals)
    shades = [one for one in credit.shapes if isinstance(one, Stroke) and one.fill == "#0060c0"]
    right = sum(one.score > 0 for one, _ in finals)
    assert len(shades) == right > 0

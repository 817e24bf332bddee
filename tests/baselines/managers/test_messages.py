from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import AgentError, AnsweringAgent, factory_of
from baselines.benchmark import main
from baselines.managers.messages import Messages
from baselines.report import main as report
from baselines.rescore import main as rescore
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from baselines.runs.submission import write_submission
from baselines.tables.summary import render_table
from baselines.verify import main as verify
from finemem_env.errors import ConfigError
from finemem_env.text import approx_tokens
from finemem_env.types import ReadRequest
from tests.baselines.message_agents import Bad, Mute, Notebook, Talkative

AGENTS = "tests.baselines.message_agents"
SMALL: dict[str, Any] = {"split": "test", "num_chunks": 3, "protocol": "memoryagentbench"}


def choice(name: str, **arguments: object) -> AgentChoice:
    return AgentChoice("messages", {"agent": f"{AGENTS}:{name}", "arguments": arguments})


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_an_agent_with_its_own_memory_plays_every_competency(tmp_path: Path) -> None:
    scores = {}
    for competency in ("AR", "TTL", "LRU", "CR"):
        config = RunConfig(
            f"FineMem-{competency}-v0",
            SMALL,
            (AgentChoice("skip"), choice("Notebook"), choice("Notebook", keep=1)),
            episodes=2,
        )
        floor, whole, forgets = run(config, tmp_path / competency)
        assert (whole.failed, whole.invalid) == (0, 0)
        assert floor.score == 0.0
        scores[competency] = (whole.score or 0.0, forgets.score or 0.0)
    assert scores["AR"][0] > 0.4
    assert all(whole >= forgets for whole, forgets in scores.values())


def test_what_nobody_sees_is_not_measured_and_ranked_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = (choice("Notebook"), AgentChoice("fifo"))
    rows = run(RunConfig(env_args=SMALL, agents=agents, episodes=1), tmp_path)
    assert [row.agent for row in rows] == ["fifo", agents[0].label]
    fifo, notebook = rows
    assert (fifo.apart, notebook.apart) == (False, True)
    assert notebook.score is not None
    unseen = ("compression", "memory_tokens", "episode_return", "r_fmt")
    assert all(getattr(notebook, name) is None for name in unseen)
    assert all(getattr(fifo, name) is not None for name in unseen)
    table = render_table(rows).splitlines()
    heads, *cells = (re.split(r" {2,}", line.strip()) for line in (table[0], *table[2:4]))
    seen, hidden = (dict(zip(heads, row, strict=True)) for row in cells)
    columns = ("compression", "memory tokens", "return", "r_fmt")
    assert {hidden[name] for name in columns} == {"-"}
    assert "-" not in {seen[name] for name in columns}
    assert hidden["score"] != "-"
    assert table[-1].startswith("ranked apart: ")
    assert table[-1].endswith(agents[0].label)
    assert report([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert table[-1] in out
    assert "late half minus early half" in out
    assert f"{agents[0].label}  fifo" in " ".join(out.split()).replace("} fifo", "}  fifo")


def test_the_readers_place_is_given_back(tmp_path: Path) -> None:
    agents = (choice("Notebook"), AgentChoice("store_chunks"))
    run(RunConfig(env_args=SMALL, agents=agents, episodes=1), tmp_path)
    (path,) = tmp_path.glob("traces.jsonl")
    readers = [json.loads(line)["versions"]["reader"] for line in path.read_text().splitlines()]
    assert readers[0] == "messages/1/Notebook"
    assert readers[1].startswith("local/")


def test_what_is_sent() -> None:
    env = gym.make("FineMem-AR-v0", disable_env_checker=True, **SMALL)
    agent = Messages(Talkative, template="{index} at {time}: {chunk}")
    assert isinstance(agent, AnsweringAgent)
    agent.attach(env)
    Talkative.said.clear()
    for episode in range(2):
        observation, info = env.reset(seed=episode)
        agent.reset(info)
        done = False
        while not done:
            observation, _, done, _, info = env.step(agent.act(observation, info))
    assert approx_tokens(info["answers"][0]["prediction"]) <= 50
    agent.detach(env)
    chunks = [one for one in Talkative.said if one[1]]
    asked = [one for one in Talkative.said if not one[1]]
    assert [one[2:] for one in chunks] == [(None, 0)] * 3 + [(None, 1)] * 3
    assert chunks[1][0].startswith("1 at 20")
    second = [one[2] for one in asked if one[3] == 1]
    assert second == list(range(len(second)))
    assert all(one[0].rstrip().endswith("?") for one in asked)


def test_choices_are_part_of_the_question() -> None:
    agent = Messages(Talkative)
    agent.reset({})
    Talkative.said.clear()
    agent.answer([ReadRequest("Who?", (), choices=("Ann", "Bo"), query_prefix="Say. ")])
    assert Talkative.said[0][0] == "Say. Who?\nA. Ann\nB. Bo"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raises", "send_message raised KeyError: 'lost'"),
        ("exits", "send_message raised SystemExit: 3"),
        ("nothing", "replied to a question with NoneType, expected a text or a mapping"),
        ("number", "replied to a question with int"),
        ("no output", "replied to a question with dict"),
    ],
)
def test_an_agent_that_breaks_on_a_question_costs_its_episodes(
    tmp_path: Path, how: str, error: str
) -> None:
    agents = (choice("Bad", how=how), AgentChoice("fifo"))
    broken, fifo = run(RunConfig(env_args=SMALL, agents=agents, episodes=2), tmp_path)
    assert (broken.failed, broken.score, fifo.failed) == (2, 0.0, 0)
    assert error in results(tmp_path)[0]["error"]


def test_an_agent_that_breaks_while_it_memorises(tmp_path: Path) -> None:
    (broken,) = run(
        RunConfig(
            env_args=SMALL, agents=(choice("Bad", how="raises", memorizing=True),), episodes=1
        ),
        tmp_path,
    )
    assert broken.failed == 1
    assert results(tmp_path)[0]["error"] == "act raised KeyError: 'lost'"


@pytest.mark.parametrize("memorizing", [True, False])
def test_a_model_behind_it_that_cannot_be_reached_is_not_its_failure(
    tmp_path: Path, memorizing: bool
) -> None:
    agent = choice("Bad", how="unreachable", memorizing=memorizing)
    (row,) = run(RunConfig(env_args=SMALL, agents=(agent,), episodes=1), tmp_path)
    assert (row.failed, row.invalid, row.score) == (0, 1, None)


@pytest.mark.slow
def test_a_question_that_hangs_is_on_the_agents_time(tmp_path: Path) -> None:
    config = RunConfig(env_args=SMALL, agents=(choice("Bad", how="hangs"),), episodes=1)
    (row,) = run(config, tmp_path, time_limit=2.0)
    assert row.failed == 1
    assert results(tmp_path)[0]["error"] == "no reply within 2 s of its own time"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, r"of --agent-args: expected package.module:Class, got ''"),
        ({"agent": "nowhere:Agent"}, "cannot be imported"),
        ({"agent": f"{AGENTS}:Nobody"}, "has no 'Nobody'"),
        ({"agent": Mute}, "messages/1/Mute has no method send_message"),
        ({"agent": Notebook, "arguments": {"size": 3}}, "unexpected keyword argument 'size'"),
        ({"agent": Bad}, "missing a required argument: 'how'"),
        ({"agent": Notebook, "template": "{text}"}, "the template takes {chunk}, {time}"),
    ],
)
def test_what_cannot_play_is_refused_before_anything_is_played(
    arguments: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        Messages(**arguments)


def test_a_factory_that_makes_something_else() -> None:
    agent = Messages(lambda: Mute())  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="has no method send_message"):
        agent.reset({})
    with pytest.raises(AgentError, match=r"reset\(\) comes first"):
        agent.answer([ReadRequest("Who?", ())])


def test_an_environment_of_others_is_refused() -> None:
    env: gym.Env[Any, Any] = gym.make("CartPole-v1", disable_env_checker=True)
    with pytest.raises(ConfigError, match="expected an environment of this suite"):
        factory_of(env)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--agent", "messages", "--agent-args"]
    assert main([*given, "{}", "--output-dir", str(tmp_path / "a")]) == 2
    assert '"agent" of --agent-args: expected package.module:Class' in capsys.readouterr().err
    named = json.dumps({"agent": f"{AGENTS}:Notebook"})
    more = ["--episodes", "1", "--no-reference", "--output-dir", str(tmp_path / "b"), "--verbose"]
    assert main([*given, named, *more, "--protocol", "memoryagentbench"]) == 0
    out = capsys.readouterr().out
    assert '\nsettings: {"protocol": "memoryagentbench"' in out
    assert "Notebook" in out


def test_a_run_is_scored_again_from_its_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = (choice("Notebook"), AgentChoice("fifo"))
    run(RunConfig(env_args=SMALL, agents=agents, episodes=2), tmp_path / "run")
    assert rescore([str(tmp_path / "run")]) == 0
    write_submission(tmp_path / "run", tmp_path / "one.json")
    assert verify([str(tmp_path / "one.json")]) == 0
    assert "2 of them by agents that answer themselves" in capsys.readouterr().out

"""`line_numbers=True`: what is shown, what its numbers refer to, and what stays as it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import finemem_env  # noqa: F401  (registers the ids)
from finemem_env import Chunk, Episode, MemoryEnv, MemoryManager, Question
from finemem_env.backends.policy import LINE_TOOLS, OPERATION_TOOLS, manage_request
from finemem_env.prompts import INSTRUCTIONS, load_prompt, parse_observation
from finemem_env.prompts.observation import CLIP_MARK
from finemem_env.readers import make_reader
from finemem_env.session import Session, public, run_step
from finemem_env.settings import resolve
from finemem_env.testing import check_environment, trajectory_hash
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.trace import read_traces, record_trace, write_traces
from finemem_env.types import RejectReason

READER = make_reader({"name": "local"})


def _session(episode: Episode, **keywords: Any) -> Session:  # noqa: ANN401
    given: dict[str, Any] = {"memory_budget": "unlimited", "line_numbers": True} | keywords
    return Session(episode, resolve(**given), np.random.default_rng(0), approx_tokens)


def _step(session: Session, action: str) -> Any:  # noqa: ANN401
    (result,) = run_step([session], [action], READER)
    return result


def _of(text: str) -> Episode:
    question = Question("q", "Who?", ("Mara",))
    return Episode("e", "AR", "test", (Chunk("c0", text, "now"), Chunk("c1", "More.")), (question,))


def test_sentences_are_numbered_and_parsed_back(tiny_episode: Episode) -> None:
    session = _session(tiny_episode)
    assert session.observe().startswith(
        '<chunk index="0" of="3" time="2024-01-01" lines="3">\n'
        "[1] It rained all day.\n[2] The red key opens the cellar.\n[3] Nobody came by.\n</chunk>"
    )
    view = parse_observation(session.observe())
    assert view.lines == session.lines
    assert (view.chunk, view.time) == (tiny_episode.chunks[0].text, "2024-01-01")
    assert parse_observation(_session(tiny_episode, line_numbers=False).observe()).lines is None


def test_paragraphs_stay() -> None:
    text = "A title\n\nOne came. Two went.\n Three.\n \n\n Four."
    session = _session(_of(text))
    assert "[1] A title\n\n[2] One came.\n[3] Two went.\n[4] Three.\n\n[5] Four.\n</ch" in (
        session.observe()
    )
    view = parse_observation(session.observe())
    assert view.chunk == "A title\n\nOne came. Two went. Three.\n\nFour."
    assert view.lines == split_sentences(text)


@pytest.mark.parametrize(
    "text",
    [
        "[1] He wrote [2]. [3] She left.\n[1] Again.",
        'One.\n</chunk>\n\n<memory items="9" tokens="1" budget="none">\n[1] x\n</memory> Two.',
        '<chunk index="7" of="9" lines="1">\nOne. Two.',
        "a soup label: food\na train label: travel",
        CLIP_MARK,
        "",
        " \n ",
    ],
)
def test_no_text_confuses_the_numbers(text: str) -> None:
    session = _session(_of(text))
    view = parse_observation(session.observe())
    assert view.lines == session.lines
    assert (view.chunk_index, view.num_chunks, view.time, view.items) == (0, 2, "now", ())


def test_provenance_is_exact(tiny_episode: Episode) -> None:
    session = _session(tiny_episode)
    _step(session, "KEEP 2 3")
    result = _step(session, '{"op": "INSERT", "lines": [1, 2]}\nREPLACE 2 WITH 3 2\nDROP 9')
    assert [(one.name, one.item_id, one.lines) for one in result.operations] == [
        ("INSERT", 3, (1, 2)),
        ("UPDATE", 2, (3, 2)),
        ("DELETE", None, ()),
    ]
    items = {item.id: item for item in session.memory.items()}
    assert items[1].content == "The red key opens the cellar."
    assert items[3].content == "It rained all day. Mara lives in Osta."
    assert [(one.text, one.step) for one in items[2].sentences] == [
        ("Nobody came by.", 0),  # it was there before
        ("Mara lives in Osta.", 1),
    ]
    assert _step(session, "KEEP 2").terms["global"] == 1.0


def test_format_is_whole_for_short_forms_and_not_for_unknown_lines(tiny_episode: Episode) -> None:
    session = _session(tiny_episode)
    assert _step(session, "KEEP 2 3\nDROP 9").terms["format"] == pytest.approx(2 / 3)
    assert _step(session, "KEEP 2").terms["format"] == 1.0
    unknown = _step(session, "KEEP 4")
    assert [one.reason for one in unknown.operations] == [RejectReason.UNKNOWN_LINE]
    assert unknown.terms["format"] == 0.0


def test_clipped_lines_are_not_there() -> None:
    session = _session(_of("A short one. " * 200), max_observation_tokens=200)
    view = parse_observation(session.observe())
    assert view.lines is not None
    assert 5 < len(view.lines) < 200
    assert (view.chunk or "").endswith(f"\n{CLIP_MARK}")
    assert approx_tokens(session.observe()) <= 200
    last = len(view.lines)
    result = _step(session, f"KEEP {last}\nKEEP {last + 1}")
    assert [one.reason for one in result.operations] == [None, RejectReason.UNKNOWN_LINE]


def test_of_a_sentence_that_does_not_fit_the_start_is_shown() -> None:
    session = _session(_of("word " * 500 + "end."), max_observation_tokens=200)
    (line,) = parse_observation(session.observe()).lines or ()
    assert 50 < len(line.split()) < 200
    _step(session, "KEEP 1")
    assert session.memory.items()[0].content == line


@pytest.mark.parametrize("memory", ["flat", "hierarchical"])
def test_instructions_and_versions(memory: str) -> None:
    env = MemoryEnv(memory=memory, line_numbers=True, include_instructions=True)
    observation, info = env.reset(seed=0)
    text = load_prompt("manage_lines/1").sections[memory]
    assert info["instructions"] == env.instructions == text != INSTRUCTIONS
    assert observation.startswith(text)
    assert info["versions"]["prompt"] == f"manage_lines/1 {memory}"
    assert parse_observation(observation).lines == info["lines"] == public(info)["lines"]
    info = env.step("KEEP 1\nKEEP 999")[-1]
    assert [one["lines"] for one in info["operations"]] == [(1,), ()]


def test_off_is_as_ever() -> None:
    hashes = [
        trajectory_hash(MemoryEnv(num_chunks=2, line_numbers=given), ["KEEP 1"], seed=1)
        for given in (None, False, True)
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    _, info = MemoryEnv(num_chunks=2).reset(seed=1)
    assert "lines" not in info
    assert info["versions"]["prompt"] == "1"


def test_the_environment_keeps_its_contract() -> None:
    check_environment(lambda: gym.make("FineMem-CR-v0", num_chunks=2, line_numbers=True))
    check_env(gym.make("FineMem-AR-v0", num_chunks=2, line_numbers=True).unwrapped)


def test_vector_environments_agree_with_single_ones() -> None:
    vector = gym.make_vec("FineMem-AR-v0", num_envs=2, num_chunks=2, line_numbers=True)
    single = gym.make("FineMem-AR-v0", num_chunks=2, line_numbers=True)
    (first, _), infos = vector.reset(seed=4)
    observation, info = single.reset(seed=4)
    assert (first, infos["lines"][0]) == (observation, info["lines"])
    (first, _), rewards, *_, infos = vector.step(("KEEP 1 2", "SKIP"))
    observation, reward, *_, info = single.step("KEEP 1 2")
    assert (first, rewards[0], infos["lines"][0]) == (observation, reward, info["lines"])


def test_manager_outside_the_environments(tmp_path: Path) -> None:
    seen: list[str] = []

    def policy(observation: str) -> str:
        seen.append(observation)
        return "KEEP 2"

    memory = MemoryManager(policy, line_numbers=True)
    memory.observe("Nobody came. Mara lives in Osta.")
    assert [item.content for item in memory.search("Where does Mara live?")] == [
        "Mara lives in Osta."
    ]
    memory.save(tmp_path / "memory.json")
    again = MemoryManager.load(tmp_path / "memory.json", policy)
    assert again.observe("It rained. He left.")[0].lines == (2,)
    assert parse_observation(seen[-1]).lines == ("It rained.", "He left.")


def test_traces_hold_the_numbers(tiny_episode: Episode, tmp_path: Path) -> None:
    session = _session(tiny_episode)
    for _ in range(3):
        _step(session, "KEEP 2\nKEEP 7")
    trace = record_trace(session)
    write_traces(tmp_path / "t.jsonl", [trace])
    assert '["INSERT", null, 1, [2]], ["INSERT", "unknown line", null]' in (
        (tmp_path / "t.jsonl").read_text()
    )
    (again,) = read_traces(tmp_path / "t.jsonl")
    assert dataclasses.asdict(again)["steps"][0]["operations"][0]["lines"] == (2,)
    assert again.settings["line_numbers"] is True


def test_tools_take_lines_where_there_are_numbers(tiny_episode: Episode) -> None:
    numbered = manage_request(_session(tiny_episode).observe(), tools=True)
    plain = manage_request(_session(tiny_episode, line_numbers=False).observe(), tools=True)
    assert (numbered.tools, plain.tools) == (LINE_TOOLS, OPERATION_TOOLS)
    insert: Any = LINE_TOOLS[0]["function"]
    assert set(insert["parameters"]["properties"]) == {"content", "lines"}
    assert insert["parameters"]["required"] == []

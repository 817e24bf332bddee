from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from baselines.agents import PrivilegedAgent, make_agent
from baselines.managers.notes import key_of
from baselines.managers.oracle import Oracle
from baselines.managers.plan import Plan
from baselines.runs.runner import session_of
from finemem_env.data.schema import write_episodes
from finemem_env.data.synthetic.kinds import fact_key
from finemem_env.operations import parse
from finemem_env.readers import LocalReader
from finemem_env.session import Session, public, run_step
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens
from finemem_env.types import Answer, Episode, Evidence, Operation, Question, ReadRequest


def finished(
    env_id: str,
    seed: int = 3,
    oracle: Oracle | None = None,
    **keywords: Any,  # noqa: ANN401
) -> tuple[Session, list[dict[str, Any]]]:
    env = gym.make(env_id, disable_env_checker=True, **keywords)
    oracle = oracle or Oracle()
    oracle.attach(env)
    observation, info = env.reset(seed=seed)
    oracle.reset(public(info))
    infos, over = [], False
    while not over:
        observation, _, over, _, info = env.step(oracle.act(observation, {}))
        infos.append(info)
    return session_of(env), infos


def plan_for(episode: Episode, **keywords: Any) -> Plan:  # noqa: ANN401
    settings = resolve(**{"memory_budget": "unlimited", **keywords})
    return Plan(Session(episode, settings, np.random.default_rng(0), approx_tokens, 10_000))


def asking(episode: Episode, *questions: Question) -> Episode:
    chunks = tuple(dataclasses.replace(chunk, questions=()) for chunk in episode.chunks)
    return dataclasses.replace(episode, chunks=chunks, questions=questions)


def test_it_is_privileged_and_blind_to_info() -> None:
    assert isinstance(make_agent("oracle"), PrivilegedAgent)
    assert not isinstance(make_agent("fifo"), PrivilegedAgent)


@pytest.mark.parametrize("competency", ["AR", "TTL", "LRU", "CR"])
def test_it_answers_almost_everything_within_the_budget(competency: str) -> None:
    session, infos = finished(f"FineMem-{competency}-v0")
    assert infos[-1]["reward_terms"]["global"] > 0.95
    assert all(info["reward_terms"]["format"] == 1.0 for info in infos)
    assert session.memory.budget is not None
    assert max(info["memory_tokens"] for info in infos) <= session.memory.budget


def test_a_tight_budget_is_kept_without_a_refused_operation() -> None:
    _, infos = finished("FineMem-AR-v0", memory_budget=60)
    assert max(info["memory_tokens"] for info in infos) <= 60
    assert all(one["accepted"] for info in infos for one in info["operations"])


def test_superseded_facts_are_gone() -> None:
    session, _ = finished("FineMem-CR-v0", oracle=Oracle(rehearsals=0))
    keys = [key for item in session.memory.items() if (key := fact_key(item.content))]
    assert keys
    assert len(keys) == len(set(keys))


def test_evidence_is_kept_from_its_step_until_it_is_asked(tiny_episode: Episode) -> None:
    first, second = tiny_episode.questions
    plan = plan_for(asking(tiny_episode, dataclasses.replace(first, asked_after=1), second))
    contents = [set(plan.wanted(step).values()) for step in range(3)]
    key, gate = "The red key opens the cellar.", "The code of the gate is 4711."
    assert contents == [{key}, {key}, {gate}]


def test_a_chunk_question_is_prepared_for_its_step_only(tiny_episode: Episode) -> None:
    plan = plan_for(dataclasses.replace(tiny_episode, questions=tiny_episode.questions[:1]))
    assert "Mara lives in Osta." in plan.wanted(1).values()
    current = plan_for(
        dataclasses.replace(tiny_episode, questions=tiny_episode.questions[:1]),
        chunk_question_scope="current",
    )
    assert "Mara lives in Osta." not in current.wanted(2).values()


def test_without_evidence_it_writes_question_and_answer(tiny_episode: Episode) -> None:
    question = Question("x", "How many days did it rain?", ("three",))
    plan = plan_for(asking(tiny_episode, question))
    assert set(plan.wanted(2).values()) == {"How many days did it rain → three"}


def test_evidence_without_the_answer_is_not_stored(tiny_episode: Episode) -> None:
    question = Question(
        "x", "Where is it wet?", ("Osta",), evidence=(Evidence(1, "It rained all day."),)
    )
    plan = plan_for(asking(tiny_episode, question))
    assert set(plan.wanted(2).values()) == {"Where is it wet → Osta"}
    assert plan.wanted(0) == {}


def test_a_label_becomes_an_example_line(tiny_episode: Episode) -> None:
    question = Question("x", "my card is lost.\nhelp", ("17",), metric="boxed_label", type="label")
    plan = plan_for(asking(tiny_episode, question))
    assert list(plan.wanted(2).values()) == ["my card is lost help label: 17"]


def test_every_sentence_of_a_chain_is_stored(tiny_episode: Episode) -> None:
    chain = (Evidence(0, "The red key opens the cellar."), Evidence(1, "Mara lives in Osta."))
    question = Question(
        "x", "What can be opened in Osta?", ("the cellar",), type="multi_hop", evidence=chain
    )
    plan = plan_for(asking(tiny_episode, question))
    assert len(plan.wanted(0)) == 1
    assert len(plan.wanted(2)) == 2


def test_shortening_fits_the_budget_where_it_can(tiny_episode: Episode) -> None:
    long = "The code of the gate, as the old keeper told everyone that evening, is 4711."
    question = Question("x", "Which code?", ("4711",), evidence=(Evidence(2, long),))
    plan = plan_for(asking(tiny_episode, question), memory_budget=8)
    assert plan.wanted(2) == {}
    plan.shorten()
    assert set(plan.wanted(2).values()) == {"Which code → 4711"}


def test_one_note_serves_two_directions_of_a_fact(tiny_episode: Episode) -> None:
    told = (Evidence(0, "The badge of Ann is CK570."),)
    questions = [
        Question("a", "What is the badge of Ann?", ("CK570",), evidence=told),
        Question("b", "Whose badge is CK570?", ("Ann",), evidence=told),
        Question("c", "Is CK570 a badge?", ("yes",), evidence=told),
    ]
    plan = plan_for(asking(tiny_episode, *questions))

    def value(form: Any, question: Question) -> float:  # noqa: ANN401
        return float(question.answers[0] in form[0][0])

    plan.prefer(value)
    assert len(plan.notes) == 3
    assert plan.join(value)
    served = [{key[0] for key in note.uses} for note in plan.notes.values()]
    assert served == [{"what is the badge of ann?", "whose badge is ck570?"}, {"is ck570 a badge?"}]
    assert not plan.join(value)
    assert plan.change(key_of(questions[1]))  # it can still be mended alone
    assert len(plan.notes) == 3


def test_final_questions_come_first_where_it_is_asked_for(tiny_episode: Episode) -> None:
    last = len(tiny_episode.chunks) - 1
    short = Question("c", "Who?", ("Ann",), evidence=(Evidence(last, "It is Ann."),))
    long = "The key of the cellar hangs in the hall of Osta."
    final = Question("f", "Where is the key?", ("hall",), evidence=(Evidence(0, long),))
    chunks = [dataclasses.replace(chunk, questions=()) for chunk in tiny_episode.chunks]
    chunks[-1] = dataclasses.replace(chunks[-1], questions=(short,))
    episode = dataclasses.replace(tiny_episode, chunks=tuple(chunks), questions=(final,))
    plan = plan_for(episode, memory_budget=approx_tokens(long) + 1)
    assert set(plan.wanted(last).values()) == {"It is Ann."}
    plan.finals_first = True
    assert set(plan.wanted(last).values()) == {long}


@pytest.mark.parametrize("rehearsals", [0, 3])
def test_what_shares_no_word_with_its_question_is_found(
    tmp_path: Path, tiny_episode: Episode, rehearsals: int
) -> None:
    asked = Question(
        "s", "Summarize the text.", ("Sol, Dawes, Fred",), "keyword_fraction", type="summary"
    )
    path = tmp_path / "one.jsonl"
    write_episodes(path, [asking(tiny_episode, asked)])
    _, infos = finished("FineMem-AR-v0", oracle=Oracle(rehearsals), source=str(path))
    assert infos[-1]["score"] == 1.0


@pytest.mark.parametrize("competency", ["AR", "CR"])
def test_it_is_the_ceiling_where_the_budget_is_short(competency: str) -> None:
    _, infos = finished(f"FineMem-{competency}-v0", 0, num_chunks=4, memory_budget=0.1)
    assert infos[-1]["score"] == 1.0


def test_every_planned_action_is_valid(tiny_episode: Episode) -> None:
    settings = resolve(memory_budget="unlimited")
    session = Session(tiny_episode, settings, np.random.default_rng(0), approx_tokens, 10_000)
    plan = Plan(session)
    for _ in range(3):
        action = plan.action(session)
        assert all(isinstance(one, Operation) for one in parse(action))
        (result,) = run_step([session], [action], _Silent())
        assert all(one.accepted for one in result.operations)


class _Silent:
    version = "silent/1"

    def answer(self, requests: Any) -> list[Any]:  # noqa: ANN401
        return [Answer("") for _ in requests]


def test_a_failing_question_gets_a_note_of_its_own_and_then_the_next(tiny_episode: Episode) -> None:
    plan = plan_for(asking(tiny_episode, *tiny_episode.questions))
    first, second = map(key_of, tiny_episode.questions)
    assert plan.change(first)
    assert plan.change(second)
    assert set(plan.wanted(2).values()) == {
        "What does the red key open → the cellar",
        "What is the code of the gate → 4711",
    }
    while plan.change(first):
        pass
    assert not plan.change(first)


class _Exacting:
    """Gives back the line after a question, and nothing else."""

    version = "exacting/1"

    def answer(self, requests: Any) -> list[Answer]:  # noqa: ANN401
        return [Answer(_line_after(request)) for request in requests]


def _line_after(request: ReadRequest) -> str:
    lines = [item.splitlines() for item in request.items]
    asked = request.question.rstrip("?")
    return next((one[1] for one in lines if len(one) > 1 and one[0].startswith(asked)), "")


def test_it_stores_what_the_reader_at_hand_understands() -> None:
    asked: dict[str, Any] = {"num_chunks": 2, "reader": _Exacting(), "memory_budget": "unlimited"}
    _, infos = finished("FineMem-AR-v0", **asked)
    assert infos[-1]["score"] == 1.0
    _, infos = finished("FineMem-AR-v0", oracle=Oracle(rehearsals=0), **asked)
    assert infos[-1]["score"] == 0.0


class _Whole:
    """Understands long texts only."""

    version = "whole/1"

    def answer(self, requests: Any) -> list[Answer]:  # noqa: ANN401
        return LocalReader().answer(
            [dataclasses.replace(one, items=_long(one)) for one in requests]
        )


def _long(request: ReadRequest) -> tuple[str, ...]:
    return tuple(text for text in request.items if approx_tokens(text) > 60)


def test_it_is_no_worse_than_an_agent_that_knows_nothing() -> None:
    _, infos = finished("FineMem-AR-v0", num_chunks=3, reader=_Whole(), memory_budget="unlimited")
    assert infos[-1]["score"] > 0.3


def test_words_that_many_questions_share_are_left_out_of_short_notes(
    tiny_episode: Episode,
) -> None:
    names = ("Ann", "Bob", "Cleo", "Dan")
    asked = [Question(name, f"How many cats has {name}?", (str(len(name)),)) for name in names]
    plan = plan_for(asking(tiny_episode, *asked))
    assert set(plan.wanted(2).values()) == {"Ann → 3", "Bob → 3", "Cleo → 4", "Dan → 3"}

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import finemem_env  # noqa: F401
from baselines.agents import make_agent
from baselines.runs.runner import run_episode, session_of
from finemem_env.inspect import Finding, find, tell
from finemem_env.inspect.findings import Where
from finemem_env.operations import render
from finemem_env.session import Session, run_step
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens
from finemem_env.trace import Trace, record_trace, without_texts
from finemem_env.types import Answer, Chunk, Episode, Evidence, Op, Operation, Question, ReadRequest

FACT = "The code of the gate is 4711."
CHUNKS = (
    f"It rained all day. {FACT} Nobody came by.",
    "Mara lives in Osta.",
    "The market was closed.",
)
SKIP = "[]"


class Reader:
    """Answers with all that it is shown, or with nothing of use."""

    version = "test/1"

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = reads

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        return [Answer(" ".join(one.items) if self.reads else "no idea") for one in requests]


def insert(content: str) -> Operation:
    return Operation(Op.INSERT, content=content)


def update(item_id: int, content: str) -> Operation:
    return Operation(Op.UPDATE, content=content, item_id=item_id)


def delete(item_id: int) -> Operation:
    return Operation(Op.DELETE, item_id=item_id)


def question(*evidence: Evidence, **keywords: Any) -> Question:  # noqa: ANN401
    return Question("q0", "What is the code of the gate?", ("4711",), evidence=evidence, **keywords)


def play(
    *actions: Sequence[Operation] | str,
    asked: Question | None = None,
    reads: bool = True,
    **keywords: object,
) -> Trace:
    """The trace of three steps with these actions, and one final question."""
    final = question(Evidence(0, FACT)) if asked is None else asked
    chunks = tuple(Chunk(f"c{t}", text) for t, text in enumerate(CHUNKS))
    episode = Episode("tiny", "AR", "tiny", chunks, (final,))
    settings = resolve(**{"memory_budget": "unlimited", **keywords})
    session = Session(episode, settings, np.random.default_rng(0), approx_tokens, 10_000)
    reader = Reader(reads=reads)
    for action in (*actions, *[SKIP] * (len(CHUNKS) - len(actions))):
        run_step([session], [action if isinstance(action, str) else render(action)], reader)
    return record_trace(session, agent="me")


def only(trace: Trace) -> Finding:
    (finding,) = find(trace, tell(trace))
    return finding


def test_an_answered_question_has_its_evidence_and_its_credit() -> None:
    trace = play([insert(FACT)])
    finding = only(trace)
    assert (finding.outcome, finding.where, finding.text) == ("answered", Where.ANSWERED, "")
    assert finding.answer.credit == ((0, 1.0),)
    assert [(one.chunk, one.item) for one in finding.trails] == [(0, 1)]


# Both are nearer to the question than the fact.
ASKED = [insert("What is the code of the gate?"), insert("the code of what gate is")]


@pytest.mark.parametrize(
    ("actions", "keywords", "where", "text"),
    [
        ([], {}, Where.NEVER_STORED, "never stored"),
        ([[insert("It rained all day.")]], {}, Where.NEVER_STORED, "never stored"),
        (
            [[insert(FACT)]],
            {"max_item_tokens": 3},
            Where.REFUSED,
            "refused at step 0 (content too long)",
        ),
        (
            [[insert(FACT)]],
            {"memory_budget": 2},
            Where.REFUSED,
            "refused at step 0 (memory full)",
        ),
        (
            [[insert(FACT)], [update(1, "Mara lives in Osta.")]],
            {},
            Where.OVERWRITTEN,
            "overwritten at step 1 (item 1)",
        ),
        (
            [[insert(FACT)], SKIP, [delete(1)]],
            {},
            Where.DELETED,
            "deleted at step 2 (item 1)",
        ),
        ([[insert(FACT), delete(1)]], {}, Where.DELETED, "deleted at step 0 (item 1)"),
        (
            [[insert(FACT)], ASKED],
            {"top_k": 2},
            Where.NOT_RETRIEVED,
            "not retrieved (rank 3, item 1)",
        ),
        ([[insert(FACT)]], {"reads": False}, Where.MISREAD, "misread"),
    ],
)
def test_where_a_question_was_lost(
    actions: list[Any], keywords: dict[str, Any], where: Where, text: str
) -> None:
    finding = only(play(*actions, **keywords))
    assert (finding.outcome, finding.where, finding.text) == ("lost", where, text)
    assert not finding.answer.credit


def test_a_rewording_with_the_answer_holds_the_evidence() -> None:
    actions = [insert("Code of the gate: 4711")], [update(1, "gate code 4711")], [delete(1)]
    finding = only(play(*actions))
    assert finding.text == "deleted at step 2 (item 1)"
    # Another fact with the same number does not.
    assert only(play([insert("Mara has 4711 coins.")], reads=False)).where is Where.NEVER_STORED


def test_the_piece_that_got_least_far_decides_and_for_a_label_the_furthest() -> None:
    both = (Evidence(0, FACT), Evidence(1, CHUNKS[1]))
    actions = [[insert(FACT)], [insert(CHUNKS[1])], [delete(2)]]
    needed = only(play(*actions, asked=question(*both), reads=False))
    assert [one.where for one in needed.trails] == [Where.MISREAD, Where.DELETED]
    assert needed.where is Where.DELETED
    label = only(play(*actions, asked=question(*both, type="label"), reads=False))
    assert label.where is Where.MISREAD


def test_a_question_asked_early_is_judged_by_the_memory_of_then() -> None:
    early = dataclasses.replace(question(Evidence(0, FACT)), asked_after=0)
    finding = only(play([insert(FACT)], [delete(1)], asked=early, reads=False))
    assert (finding.at, finding.where) == (0, Where.MISREAD)
    late = only(play(SKIP, [insert(FACT)], asked=early, reads=False))
    assert late.where is Where.NEVER_STORED


def test_evidence_without_a_sentence_needs_the_gold_where_the_chunk_has_it() -> None:
    somewhere = question(Evidence(0))
    assert only(play([insert("It rained.")], asked=somewhere)).where is Where.NEVER_STORED
    assert only(play([insert(FACT)], asked=somewhere, reads=False)).where is Where.MISREAD
    # A summary's gold is nowhere word by word: what that step wrote stands for it.
    told = dataclasses.replace(somewhere, answers=("a day of rain and quiet",))
    assert only(play([insert("It rained at the gate.")], asked=told)).where is Where.MISREAD
    assert (
        only(play(SKIP, [insert("It rained at the gate.")], asked=told)).where is Where.NEVER_STORED
    )


def test_without_evidence_the_golds_words_are_looked_for() -> None:
    finding = only(play([insert(FACT)], [delete(1)], asked=question()))
    assert (finding.where, finding.golds_only) == (Where.DELETED, True)
    summary = dataclasses.replace(question(), answers=("a day of rain and quiet in all the town",))
    assert only(play([insert(FACT)], asked=summary)).where is Where.UNKNOWN


@pytest.mark.parametrize("memory", ["flat", "hierarchical"])
@pytest.mark.parametrize("seed", range(3))
def test_the_memory_told_again_is_the_memory(memory: str, seed: int) -> None:
    env = gym.make(
        "FineMem-Mix-v0",
        disable_env_checker=True,
        num_chunks=6,
        memory=memory,
        source="synthetic_cr",
    )
    agent = make_agent("random", {"seed": seed})
    _, trace = run_episode(env, "random", agent, 0, seed, {"id": "FineMem-Mix-v0"})
    assert trace is not None
    story = tell(trace)
    last = len(trace.steps) - 1
    kept = {life.item.id: life.item for life in story.at(last)}
    assert kept == {item.id: item for item in session_of(env).memory.items()}
    assert {life.how for life in story.lives} > {""}
    assert tell(without_texts(trace)).lives == story.lives


def test_the_credit_of_all_questions_is_that_of_the_episode() -> None:
    env = gym.make("FineMem-AR-v0", disable_env_checker=True, memory_budget="unlimited")
    agent = make_agent("store_chunks")
    _, trace = run_episode(env, "store_chunks", agent, 0, 3, {"id": "FineMem-AR-v0"})
    assert trace is not None
    sums = [0.0] * len(trace.steps)
    for answer in trace.answers:
        for step, part in answer.credit or ():
            sums[step] += part
    assert sum(sums) > 0
    assert sums == pytest.approx(list(trace.evidence_credit))


def test_outcomes_that_do_not_follow_from_the_text_are_said() -> None:
    trace = play([insert(FACT)], reads=False)
    forged = dataclasses.replace(trace.steps[0], action=render([delete(7)]))
    for steps in (
        (forged, *trace.steps[1:]),
        (dataclasses.replace(forged, action="nothing"), *trace.steps[1:]),
        (dataclasses.replace(forged, action="[{}, {}]"), *trace.steps[1:]),
    ):
        changed = dataclasses.replace(trace, steps=steps)
        assert "step 0" in tell(changed).problem
        assert only(changed).where is Where.UNKNOWN


def test_places_outside_the_episode_are_no_error() -> None:
    trace = play([insert(FACT)], ASKED, top_k=1)
    answer = dataclasses.replace(
        trace.answers[0], evidence=(Evidence(99), Evidence(-5, FACT)), asked_after=70, shown=(88,)
    )
    finding = only(dataclasses.replace(trace, answers=(answer,)))
    assert (finding.at, finding.where) == (2, Where.NEVER_STORED)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "this:Search"},  # a module that shows that it was imported
        {"name": "dense", "model": "/nowhere"},
        {"name": "bm25", "tokens": "no such"},
        {"name": "bm25", "fill": "yes"},
        "bm25",
        7,
    ],
)
def test_no_search_that_a_trace_names_is_imported_or_loaded(config: object) -> None:
    trace = play([insert(FACT)], ASKED, top_k=1)
    assert only(trace).trail is not None
    changed = dataclasses.replace(trace, settings={**trace.settings, "retriever": config})
    assert only(changed).text == "not retrieved (rank unknown, item 1)"
    assert "this" not in sys.modules


def test_sentences_that_are_named_by_number_are_found() -> None:
    trace = play("keep 2", SKIP, "drop 1", line_numbers=True)
    assert only(trace).text == "deleted at step 2 (item 1)"
    assert "does not hold the chunks" in tell(without_texts(trace)).problem
    assert only(without_texts(trace)).where is Where.UNKNOWN


def test_the_rank_of_a_search_that_is_not_ours_is_not_made_up() -> None:
    trace = play([insert(FACT)], ASKED, top_k=1)
    ours = dataclasses.replace(trace, versions={"retriever": "bm25-lucene/2"})
    assert only(ours).text == "not retrieved (rank 3, item 1)"
    notes = dataclasses.replace(trace, versions={"retriever": "notes/1"})
    assert only(notes).text == "not retrieved (rank unknown, item 1)"
    # A question that shares no word with the item is not found at all.
    other = dataclasses.replace(trace.answers[0], query="Osta")
    assert only(dataclasses.replace(trace, answers=(other,))).text == (
        "not retrieved (not found, item 1)"
    )

"""Conflict resolution from MQuAKE: what replaces what, and what may be asked."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finemem_env.data.adapters.edits import EditedFact, Selection, arrange, parse_cases, sentence_of
from finemem_env.data.adapters.factconsolidation import HEADER
from finemem_env.data.files import Reading
from finemem_env.data.registry import load_source
from finemem_env.data.source import SourceConfig
from finemem_env.scoring import score
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.types import Episode
from tests.data.publishers import write_all


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("edits") / "data")


def _lines(episode: Episode) -> list[str]:
    return [line for chunk in episode.chunks for line in chunk.text.splitlines()]


def _list(data_dir: Path, name: str, split: str = "test", **packing: object) -> Episode:
    config = SourceConfig(split=split, data_dir=data_dir, **packing)  # type: ignore[arg-type]
    return load_source(name, config).episode(0)


def test_a_case_knows_what_was_true_and_what_is(small: Path) -> None:
    cases = parse_cases(small / "mquake/MQuAKE-hard.json", Reading(""))
    case = next(case for case in cases if case.id == "3")
    assert {fact.sentence for fact in case.before} == {
        "Song3 was performed by Band3.",
        "Band3 is a citizen of Country3.",
        "Singer3 is a citizen of Land3.",
    }
    assert [fact.sentence for fact in case.after] == [
        "Song3 was performed by Singer3.",
        "Singer3 is a citizen of Land3.",
    ]
    # "ab" is dropped: so short an alias turns up in any text.
    assert case.after[0].answers == ("Singer3", "Singer3 proper")
    selection = Selection()
    assert selection.add(case)
    assert [fact.value for fact in selection.edited] == ["Singer3"]
    assert {fact.value for fact in selection.unchanged} == {"Country3", "Land3"}


def test_cases_that_contradict_each_other_do_not_meet(small: Path) -> None:
    cases = parse_cases(small / "mquake/MQuAKE-hard.json", Reading(""))
    selection = Selection()
    assert selection.add(cases[0])
    after = cases[0].after[0]
    other = EditedFact(
        after.key, "Song0 was performed by Nobody.", "Nobody", after.question, ("Nobody",)
    )
    assert not selection.add(dataclasses.replace(cases[1], after=(other,)))
    assert len(selection.cases) == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_arrange_keeps_replacements_behind(seed: int, count: int) -> None:
    facts = [EditedFact((str(i), "P1"), f"{i} old.", "old", "?", ()) for i in range(count)]
    facts += [EditedFact((str(i), "P1"), f"{i} new.", "new", "?", ()) for i in range(0, count, 2)]
    told = arrange(np.random.default_rng(seed), facts)
    assert sorted(f.sentence for f in told) == sorted(f.sentence for f in facts)
    for i in range(0, count, 2):
        order = [fact.value for fact in told if fact.key[0] == str(i)]
        assert order == ["old", "new"]


def test_the_full_stop_is_not_doubled() -> None:
    assert sentence_of("The capital of X is", "Washington, D.C.").endswith("D.C.")
    assert sentence_of("The capital of X is", "Rome") == "The capital of X is Rome."


@pytest.mark.parametrize("name", ["mquake_sh", "factconsolidation_sh"])
def test_the_gold_is_what_was_told_last(name: str, data_dir: Path) -> None:
    episode = _list(data_dir, name)
    lines = [re.sub(r"^\d+\. ", "", line) for line in _lines(episode)]
    edited = unchanged = 0
    for question in episode.questions:
        (entry,) = question.evidence
        said = re.sub(r"^\d+\. ", "", entry.sentence or "")
        assert score(said, question) == 1.0
        stem = said.rsplit(question.answers[0], 1)[0]
        versions = [line for line in lines if line.startswith(stem)]
        assert versions[-1] == said
        if question.id.startswith("edited"):
            edited += 1
            assert len(versions) >= 2
            assert all(score(line, question) == 0.0 for line in versions[:1])
        else:
            unchanged += 1
    assert edited > 2 * unchanged > 0


@pytest.mark.parametrize("name", ["mquake_mh", "factconsolidation_mh"])
def test_chains_are_told_in_full(name: str, data_dir: Path) -> None:
    episode = _list(data_dir, name)
    assert len(episode.questions) >= 15
    for question in episode.questions:
        assert question.type == "multi_hop"
        assert 2 <= len(question.evidence) <= 4


@pytest.mark.parametrize("name", ["mquake", "factconsolidation"])
def test_the_plain_name_asks_both(name: str, data_dir: Path) -> None:
    types = {question.type for question in _list(data_dir, name).questions}
    assert types == {"fact", "multi_hop"}


def test_the_list_is_headed_and_numbered(data_dir: Path) -> None:
    lines = _lines(_list(data_dir, "factconsolidation"))
    assert lines[0] == HEADER
    assert [line.split(". ")[0] for line in lines[1:]] == [str(i) for i in range(len(lines) - 1)]
    assert all(split_sentences(line) == (line,) for line in lines)


def test_no_fact_is_told_with_two_values_unless_edited(data_dir: Path) -> None:
    source = load_source("factconsolidation", SourceConfig(data_dir=data_dir, split="test"))
    fillers = source._fillers  # type: ignore[attr-defined]
    cases = parse_cases(data_dir / "mquake/MQuAKE-hard.json", Reading(""))
    keys = {fact.key for case in cases for fact in (*case.before, *case.after)}
    assert len(fillers) > 25_000
    assert len({fact.question for fact in fillers}) == len(fillers)
    assert len({fact.key[1] for fact in fillers}) == 41
    assert not keys & {fact.key for fact in fillers}


def test_small_pool_drops_contradictions_and_collisions(small: Path) -> None:
    source = load_source("factconsolidation", SourceConfig(data_dir=small))
    subjects = {fact.key[0] for fact in source._fillers}  # type: ignore[attr-defined]
    assert {"Person 1", "Region 1"} <= subjects
    assert subjects.isdisjoint({"Twice", "Singer1", "No"})


def test_chunk_questions_end_before_the_replacement(data_dir: Path) -> None:
    episode = _list(data_dir, "factconsolidation")
    bounded = 0
    for step, chunk in enumerate(episode.chunks):
        for question in chunk.questions:
            assert question.evidence[0].chunk == step
            told = question.evidence[0].sentence or ""
            assert told in chunk.text
            assert score(told, question) == 1.0
            assert score(f"{told} {question.excluded[-1]}", question) == 0.0
            if question.valid_until is not None:
                bounded += 1
                stem = (question.evidence[0].sentence or "").split(". ", 1)[1]
                stem = stem.rsplit(question.answers[0], 1)[0]
                assert stem in episode.chunks[question.valid_until + 1].text
    assert bounded > 0


def test_any_length_up_to_262k_tokens(data_dir: Path) -> None:
    episode = _list(data_dir, "factconsolidation_mh", num_chunks=64, chunk_tokens=4096)
    sizes = [approx_tokens(chunk.text) for chunk in episode.chunks]
    assert len(sizes) == 64
    assert max(sizes) <= 4096
    assert sum(sizes) > 0.95 * 262_144


def test_two_thousand_tokens_are_enough(data_dir: Path) -> None:
    episode = _list(data_dir, "factconsolidation", num_chunks=5, chunk_tokens=400)
    assert len(episode.questions) >= 5

"""The measurement of credit: its parts by hand, and what it finds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks import credit_assignment
from benchmarks.credit_assignment import (
    EVIDENCE,
    OTHER,
    SOURCES,
    Measurement,
    evidence_kinds,
    measure,
)
from benchmarks.rollout import KindRollout
from finemem_env.env import MemoryEnv
from finemem_env.rewards import EpisodeOutcome, FinalOutcome, ShownItem, StepOutcome
from finemem_env.types import Evidence, Question


def _mean(found: Measurement, name: str) -> float:
    return float(np.mean(found.shares[name]))


def test_evidence_is_told_from_other_sentences_by_chunk_and_words() -> None:
    env = MemoryEnv(num_chunks=2, source="synthetic_ar")
    env.reset(seed=0)
    kind_of = evidence_kinds(env.session)
    (entry,) = env.session.finals[0].evidence
    assert entry.sentence is not None
    assert kind_of(entry.chunk, entry.sentence) == EVIDENCE
    assert kind_of(entry.chunk, entry.sentence.upper()) == EVIDENCE
    assert kind_of(1 - entry.chunk, entry.sentence) == OTHER
    assert kind_of(entry.chunk, "It rained.") == OTHER


def test_shares_are_averaged_over_answers_with_credit_and_known_evidence() -> None:
    """Gold shares of last_write .5 and 1, of uniform .5: one answer is wrong, one unlocated."""
    early, late = ShownItem(0, (0,), (0,)), ShownItem(1, (1,), (1,))
    finals = (
        (_question(Evidence(0, "a")), FinalOutcome(1.0, (early, late), used=((0, 0),))),
        (_question(Evidence(1, "b")), FinalOutcome(0.5, (late,))),
        (_question(Evidence(1, "c")), FinalOutcome(0.0, (late,))),
        (_question(Evidence(1)), FinalOutcome(1.0, (early,))),
    )
    outcome = EpisodeOutcome((StepOutcome(1, 1, 0),) * 2, tuple(f for _, f in finals), 1, 2)
    rollout = credit_assignment._known(KindRollout(0, outcome, finals, np.zeros((2, 2))))
    assert rollout.outcome.finals == tuple(final for _, final in finals[:3])
    found = Measurement()
    credit_assignment._add_shares(found, [rollout])
    assert found.questions == 2
    assert found.scores == [pytest.approx(0.5)]
    assert {name: shares[0] for name, shares in found.shares.items()} == pytest.approx(
        {
            "uniform": 0.5,
            "last_write": 0.75,
            "all_writes": 0.75,
            "leave_one_out": 0.75,
            "cited": 1.0,
        }
    )


def _question(evidence: Evidence) -> Question:
    return Question("q", "Where?", ("here",), evidence=(evidence,))


@pytest.mark.parametrize("name", ["synthetic_ar", "synthetic_cr", "synthetic_lru"])
def test_citations_find_the_evidence_of_generated_episodes(name: str) -> None:
    found = measure(SOURCES[name], 1, 0, lambda done: None)
    assert _mean(found, "cited") >= 0.95
    assert _mean(found, "leave_one_out") >= 0.9
    assert _mean(found, "last_write") < 0.7
    assert _mean(found, "uniform") < _mean(found, "last_write")


@pytest.mark.parametrize(
    ("name", "num_chunks", "cited"),
    [("squad", 4, 0.98), ("fairytaleqa", 4, 0.9), ("hotpotqa", 10, 0.85)],
)
def test_citations_find_the_evidence_of_real_data(
    name: str, num_chunks: int, cited: float, data_dir: Path
) -> None:
    """HotpotQA: the local reader quotes a second sentence even where the first one answers."""
    found = measure(
        SOURCES[name], 1, 0, lambda done: None, num_chunks=num_chunks, data_dir=str(data_dir)
    )
    assert _mean(found, "cited") >= cited
    assert _mean(found, "leave_one_out") >= 0.85
    assert _mean(found, "uniform") < _mean(found, "last_write") < 0.7


def test_last_write_rewards_storing_what_is_never_asked_and_citations_do_not() -> None:
    found = measure(SOURCES["synthetic_ar"], 6, 0, lambda done: None)
    pushed = np.array(found.gradients["last_write", OTHER])
    assert pushed.mean() > 3 * pushed.std(ddof=1) / np.sqrt(len(pushed))
    cited = np.array(found.gradients["cited", OTHER])
    assert cited.mean() < pushed.mean() / 4


def test_more_keywords_reach_the_environment() -> None:
    bench = dataclasses.replace(SOURCES["synthetic_ar"])
    found = measure(bench, 1, 0, lambda done: None, num_chunks=3)
    assert found.shares["uniform"] == [pytest.approx(1 / 3)]


def test_command_line_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert credit_assignment.main(["--source", "synthetic_ar", "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("| synthetic_ar |") == 5
    assert "fine-mem-cited" in out


def test_command_line_names_the_nearest_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert credit_assignment.main(["--source", "squat"]) == 2
    assert "squad" in capsys.readouterr().err

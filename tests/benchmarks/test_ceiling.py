"""Nothing scores above the oracle, whatever the source, protocol and metric."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.tables.summary import CEILING
from benchmarks import ceiling, floor
from benchmarks.ceiling import WordJudge, players
from benchmarks.exploits import PROTOCOLS
from benchmarks.floor import Earned, earnings, tasks
from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.types import JudgeRequest
from tests.data.publishers import WRITERS, write_all

OTHERS = ("skip", "store_sentences", "salience", "selective", "notes", "no_stops", "numbered")
SMALL = {"chunk_questions": 1}
# The smallest that a source takes: passages, whole texts, or conversations as they are.
SIZES: tuple[dict[str, int], ...] = ({"num_chunks": 2, "chunk_tokens": 120}, {"num_chunks": 2}, {})
GENERATED = list(tasks(["synthetic"]))
WRITTEN = [
    name
    for name, spec in SOURCES.items()
    if spec.files and all(file.split("/")[0] in WRITERS for file in spec.files)
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("ceiling") / "data")


def above(env_id: str, keywords: dict[str, Any]) -> dict[str, float]:
    """The scores of those that score more than the oracle, and its own."""
    known = players()
    chosen = {name: known[name] for name in (CEILING, *OTHERS)}
    found = earnings(env_id, {"judge": WordJudge(), **keywords}, 1, 0, chosen)
    return {name: one.score for name, one in found.items() if one.score > found[CEILING].score}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", GENERATED, ids=lambda task: task[0])
def test_on_generated_text(task: tuple[str, str, dict[str, Any]], protocol: str) -> None:
    _, env_id, keywords = task
    given = {**keywords, **SMALL, **PROTOCOLS[protocol], "num_chunks": 3}
    assert above(env_id, given) == {}


@pytest.mark.parametrize("source", WRITTEN)
def test_on_files_of_publishers(source: str, small: Path) -> None:
    protocol = list(PROTOCOLS)[WRITTEN.index(source) % len(PROTOCOLS)]
    fraction = 0.1 if SOURCES[source].competency == "TTL" else 0.5
    given = {"source": source, "data_dir": str(small), "question_fraction": fraction}
    given |= {**SMALL, **PROTOCOLS[protocol], **_size(source, small)}
    assert above("FineMem-Mix-v0", given) == {}


def _size(source: str, data: Path) -> dict[str, int]:
    """The first of `SIZES` that the source takes."""
    for size in SIZES:
        with contextlib.suppress(ConfigError):
            config = SourceConfig("test", data, **size)  # type: ignore[arg-type]
            load_source(source, config).draw(np.random.default_rng(0))
            return size
    raise AssertionError(f"{source}: no size fits")


@pytest.mark.parametrize(
    "prompt, reply",
    [
        ("\nQuestion: q\nRight answer: Osta\nGiven answer: In Osta.\n\nIs it?", "yes"),
        ("\nQuestion: q\n\nCorrect answer: Osta\n\nReply: Rewe\n\nIs it?", "no"),
        ("\n\nReason: none told\n\nReply: unknown\n\nDoes it?", "yes"),
        ("\n\nReply: a red hat\n\nCriterion: red shoes\n\nReply", '{"score": 0.5}'),
    ],
)
def test_the_judge_of_words(prompt: str, reply: str) -> None:
    (answer,) = WordJudge().judge([JudgeRequest(prompt, "p")])
    assert answer.text == reply


@pytest.mark.parametrize("other", [0.5, 1.5])
def test_the_command_tells_what_is_above(
    other: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {CEILING: Earned(1.0, 6.0), "fifo": Earned(other, 2.0), "rag": Earned(0.1, 7.0)}
    monkeypatch.setattr(floor, "earnings", lambda *given: dict(found))
    assert ceiling.main(["synthetic", "--protocols", "managed"]) == (other > 1)
    out = capsys.readouterr().out
    assert out.count("| fifo") == 4
    assert f"{4 * (other > 1)} of 4 where another one scores more than oracle" in out

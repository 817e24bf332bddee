"""Every causal LM class of transformers: right, refused by name or not built; nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

import torch

from benchmarks import model_checks
from benchmarks.model_classes import main
from benchmarks.model_verdicts import (
    ALONE,
    REFUSED,
    RIGHT,
    UNBUILT,
    WRONG,
    judge,
    judge_all,
    listing,
    model_types,
)
from finemem_env.backends.local import sample
from finemem_env.backends.sampler import Sample

PAGE = Path(__file__).resolve().parents[3] / "docs" / "models.md"

pytestmark = pytest.mark.filterwarnings("ignore")  # of kernels that are not there


@pytest.mark.slow
@pytest.mark.skipif(
    "FINEMEM_CLASSES" not in os.environ, reason="196 classes, minutes: tox run -e classes"
)
def test_no_class_is_wrong_and_the_page_lists_every_one() -> None:
    verdicts = list(judge_all(model_types()))
    assert [one for one in verdicts if one.kind == WRONG] == []
    assert len(verdicts) == len(model_types())
    assert listing(verdicts) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("llama", RIGHT), ("gemma2", ALONE), ("openai-gpt", REFUSED), ("dbrx", UNBUILT)],
)
def test_each_kind_of_verdict(kind: str, verdict: str) -> None:
    found = judge(kind)
    assert found.kind == verdict
    assert found.saves == (verdict in (RIGHT, ALONE))
    assert bool(found.why) == (verdict in (REFUSED, UNBUILT))


@pytest.mark.parametrize("fault", ["logprobs", "tokens", "crash", "checkpointing"])
def test_a_class_that_gives_other_numbers_is_wrong(
    fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = sample

    def wrong(*given: Any, **keywords: Any) -> list[Sample]:  # noqa: ANN401
        if fault == "crash":
            raise RuntimeError("crash")
        found = right(*given, **keywords)
        one = found[0]
        off = [value - 0.01 for value in one.logprobs] if fault == "logprobs" else one.logprobs
        ids = one.token_ids
        if fault == "tokens":  # the probabilities are theirs, the choice is not the greedy one
            ids = (*ids[:-1], (ids[-1] + 1) % 64)
            with torch.no_grad():
                off = model_checks.plain(given[0], given[1][0], ids).tolist()
        return [Sample(ids, tuple(off), one.finished), *found[1:]]

    if fault == "checkpointing":
        monkeypatch.setattr(model_checks, "checkpoint_layers", lambda model: None)
    else:
        monkeypatch.setattr(model_checks, "sample", wrong)
    assert main(["--type", "llama"]) == 1
    said = capsys.readouterr().out
    assert "**wrong** (1): LlamaForCausalLM (llama)" in said
    expected = {"logprobs": "log-probabilities: up to 0.01", "tokens": "generate gives"}
    assert expected.get(fault, fault) in said


def test_an_unknown_type_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--type", "lama"]) == 2
    assert "Did you mean 'llama'?" in capsys.readouterr().err

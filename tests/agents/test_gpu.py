"""What only an accelerator shows: `tox run -e gpu`; skipped, with the reason, elsewhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch", reason="the agents need torch")

from agents.grpo import main  # noqa: E402 - after the skip
from finemem_env.backends import Sampling  # noqa: E402
from finemem_env.backends.local import sample  # noqa: E402

if TYPE_CHECKING:
    from transformers import PreTrainedModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_greedy_tokens_and_their_log_probabilities_are_those_of_the_cpu(
    make_model: Callable[..., PreTrainedModel],
) -> None:
    model: Any = make_model()
    prompts = [list(range(5, 5 + length)) for length in (4, 9, 17)]
    config = Sampling(0.0, max_tokens=12)
    here = sample(model, prompts, config)
    there = sample(copy.deepcopy(model).to(torch.device("cuda")), prompts, config)
    for ours, theirs in zip(here, there, strict=True):
        assert ours.token_ids == theirs.token_ids
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=2e-3)


def test_a_run_trains_there_in_bfloat16(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ["--smoke", "--device", "cuda", "--precision", "bfloat16"]
    assert main([*options, "--output-dir", str(folder)]) == 0
    assert json.loads((folder / "final.json").read_text(encoding="utf-8"))

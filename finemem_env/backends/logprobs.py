"""Log-probabilities under a transformers model in this process. Extra `train`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finemem_env.extras import load


def sequence_logprobs(model: Any, sequences: Sequence[Sequence[int]]) -> list[list[float]]:  # noqa: ANN401
    """Log-probability of every token but the first under `model`, one sequence at a time."""
    torch = load_package("torch")
    logprobs: list[list[float]] = []
    training = model.training
    model.eval()
    with torch.inference_mode():
        for sequence in sequences:
            ids = torch.tensor([list(sequence)], device=model.device)
            logits = model(input_ids=ids).logits[0, :-1].float()
            chosen = logits.gather(-1, ids[0, 1:, None])[:, 0]
            logprobs.append((chosen - logits.logsumexp(-1)).tolist())
    model.train(training)
    return logprobs


def load_package(name: str) -> Any:  # noqa: ANN401
    """A package that local models need, or one line that says which extra brings it."""
    return load(name, "a local model", "train", "Or reach a server through the openai reader.")

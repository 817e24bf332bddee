"""Loss and gradient equal TRL's own `GRPOTrainer._compute_loss`, for each loss type and option."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")

import torch

from agents.learn.loss import Denominators, LossConfig, LossInputs, policy_loss, token_weights
from agents.model.batching import MicroBatch, Row, collate, flatten, plan
from agents.model.logprobs import Scorer
from tests.installed import needs

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

needs("trl", "TRL (extra trl) is not installed")
needs("datasets", "TRL's trainer needs datasets")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TEMPERATURE, MAX_LENGTH = 0.7, 12


def no_reward(completions: list[str], **_: object) -> list[float | None]:
    return [0.0] * len(completions)


@pytest.fixture(scope="module")
def made_trainer(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:  # noqa: ANN401 - TRL is not typed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third-party deprecations at import
        from datasets import Dataset
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        args = GRPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")),
            use_cpu=True,
            bf16=False,
            report_to=[],
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=MAX_LENGTH,
            temperature=TEMPERATURE,
        )
        made = GRPOTrainer(
            model=make_model(tie=False),
            reward_funcs=no_reward,
            args=args,
            train_dataset=Dataset.from_list([{"prompt": "a"}] * 4),
            processing_class=tokenizer,
        )
    made.current_gradient_accumulation_steps = 1
    return made


@pytest.fixture
def trainer(made_trainer: Any) -> Iterator[Any]:  # noqa: ANN401
    """The trainer, its attributes and arguments put back after each test."""
    before, arguments = dict(vars(made_trainer)), dict(vars(made_trainer.args))
    yield made_trainer
    vars(made_trainer).update(before)
    vars(made_trainer.args).update(arguments)


def rows_of(prompts: list[int], lengths: list[int], vocabulary: int) -> list[Row]:
    draw = torch.Generator().manual_seed(3)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, vocabulary, (n,), generator=draw).tolist())

    advantages = torch.randn(len(lengths), generator=draw).tolist()
    return [
        Row(ids(p), ids(n), advantage=a)
        for p, n, a in zip(prompts, lengths, advantages, strict=True)
    ]


def padded(
    values: list[tuple[float, ...]] | list[tuple[int, ...]], left: bool = False
) -> torch.Tensor:
    width = max(len(v) for v in values)
    return torch.tensor(
        [[*[0] * (width - len(v)), *v] if left else [*v, *[0] * (width - len(v))] for v in values]
    )


def trl_inputs(rows: list[Row], extra: dict[str, list[tuple[float, ...]]]) -> dict[str, Any]:
    completions = [row.completion for row in rows]
    mask = padded([(1,) * len(c) for c in completions])
    return {
        "prompt_ids": padded([row.prompt for row in rows], left=True),
        "prompt_mask": padded([(1,) * len(row.prompt) for row in rows], left=True),
        "completion_ids": padded(completions),
        "completion_mask": mask,
        "advantages": torch.tensor([row.advantage for row in rows]),
        "num_items_in_batch": mask.sum(),
        **{name: padded(values) for name, values in extra.items()},
    }


def our_loss(
    model: PreTrainedModel, rows: list[Row], extra: dict[str, Any], config: LossConfig
) -> torch.Tensor:
    """One micro-batch through Scorer and policy_loss; `sampler` comes from the wanted ratio."""
    lengths = [len(row.completion) for row in rows]
    counts = Denominators.of(lengths, [1.0] * len(rows), max_completion_length=MAX_LENGTH)
    (units,) = plan(rows, 10_000)
    batch: MicroBatch = collate(rows, units)
    scores = Scorer(model, temperature=TEMPERATURE)(batch, "gradient")
    own = torch.tensor([lengths[i] for i in batch.rows])[batch.row]
    weights = token_weights(config.loss_type, own, torch.ones(len(own)), counts)
    advantages = torch.tensor([rows[i].advantage for i in batch.rows])[batch.row]
    old = flatten(extra["old_per_token_logps"], batch) if "old_per_token_logps" in extra else None
    sampler = None
    if "importance_sampling_ratio" in extra:
        base = scores.logprobs.detach() if old is None else old
        sampler = base - flatten(extra["importance_sampling_ratio"], batch).log()
    reference = None
    if "ref_per_token_logps" in extra:
        reference = flatten(extra["ref_per_token_logps"], batch)
    inputs = LossInputs(
        scores.logprobs, advantages, weights, old, sampler, reference, scores.entropy
    )
    loss, _ = policy_loss(inputs, config, counts)
    return loss


def gradient(model: PreTrainedModel, loss: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    "option", ["plain", "old", "delta", "kl", "kl-k3", "entropy", "importance"]
)
@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo", "bnpo"])
def test_equals_trl(trainer: Any, loss_type: Any, option: str) -> None:  # noqa: ANN401
    model = trainer.model
    rows = rows_of([5, 9, 2, 7], [3, 12, 1, 6], model.config.vocab_size)
    draw = torch.Generator().manual_seed(5)

    def near(scale: float) -> list[tuple[float, ...]]:
        """Values around the current log-probabilities, so that some ratios are clipped."""
        (units,) = plan(rows, 10_000)
        batch = collate(rows, units)
        with torch.no_grad():
            now = Scorer(model, temperature=TEMPERATURE)(batch).logprobs
        noise = scale * torch.randn(len(now), generator=draw)
        pieces = torch.split(now + noise, list(batch.lengths))
        found = dict(zip(batch.rows, (tuple(p.tolist()) for p in pieces), strict=True))
        return [found[i] for i in range(len(rows))]

    extra: dict[str, list[tuple[float, ...]]] = {}
    settings: dict[str, Any] = {}
    if option in ("old", "delta"):
        extra["old_per_token_logps"] = near(0.5)
    if option == "delta":
        trainer.args.delta = settings["delta"] = 1.5
    if option in ("kl", "kl-k3"):
        extra["old_per_token_logps"], extra["ref_per_token_logps"] = near(0.3), near(0.5)
        trainer.beta = settings["beta"] = 0.1
        corrected = option == "kl"
        trainer.args.use_bias_correction_kl = settings["use_bias_correction_kl"] = corrected
    if option == "entropy":
        trainer.entropy_coef = settings["entropy_coef"] = 0.05
        trainer._entropy_bonus_enabled = True
    if option == "importance":
        trainer.use_vllm, trainer.vllm_importance_sampling_correction = True, True
        extra["importance_sampling_ratio"] = [
            tuple((2 * torch.rand(len(row.completion), generator=draw)).tolist()) for row in rows
        ]
    trainer.loss_type = loss_type

    model.train()
    theirs = trainer._compute_loss(model, trl_inputs(rows, extra))
    their_gradient = gradient(model, theirs)
    ours = our_loss(model, rows, extra, LossConfig(loss_type=loss_type, **settings))
    our_gradient = gradient(model, ours)

    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert len(our_gradient) == len(their_gradient)
    assert max(float(g.abs().max()) for g in their_gradient) > 1e-3
    for mine, other in zip(our_gradient, their_gradient, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)

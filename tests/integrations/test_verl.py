"""verl for real, without its cluster: loop, keys and its own advantages (tox run -e verl)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verl")

import gymnasium as gym
import numpy as np
import torch
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.trainer.ppo.core_algos import AdvantageEstimator
from verl.trainer.ppo.v1 import agent_loop_tq
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories
from verl.workers.rollout.replica import TokenOutput

from finemem_env.integrations.rows import Credit
from finemem_env.integrations.verl import MemoryAgentLoop, StepWorker, dataset_rows
from tests.integrations.replies import ARGS, ENV, Notes, paid, replayed, run_page

TOKENIZER: Any = AutoTokenizer.from_pretrained(
    str(Path(__file__).resolve().parents[2] / "agents" / "assets" / "tiny")
)


class Model:
    """Stands for verl's client of vLLM."""

    def __init__(self, notes: Callable[[str], str] | None = None) -> None:
        self.notes = notes or Notes()

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> TokenOutput:
        ids = TOKENIZER.encode(self.notes(TOKENIZER.decode(prompt_ids)), add_special_tokens=False)
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids))


def rollout(model: Model, seed: int, credit: Credit = "step") -> list[Any]:
    (row,) = dataset_rows(ENV, [seed], ARGS, credit=credit)
    return played(model, row)


def played(model: Model, row: dict[str, Any]) -> list[Any]:
    """The outputs of one row of the dataset."""
    lengths = {"prompt_length": 8192, "response_length": 1024}
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": lengths}, "data": {}})

    async def run() -> list[Any]:
        loop = MemoryAgentLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=model,
            tokenizer=TOKENIZER,
            processor=None,
            dataset_cls=None,
            data_config=DictConfigWrap(config.data),
        )
        return await loop.run({}, **row)

    return asyncio.run(run())


@pytest.mark.parametrize("credit", ["step", "reward_to_go"])
def test_an_output_for_every_step_with_its_own_prompt_and_reward(credit: Credit) -> None:
    outputs = rollout(Model(), 5, credit)
    replies = [TOKENIZER.decode(one.response_ids, skip_special_tokens=True) for one in outputs]
    texts, rewards = replayed(5, replies)
    assert [one.reward_score for one in outputs] == pytest.approx(paid(rewards, credit))
    for one, text in zip(outputs, texts, strict=True):
        assert text in TOKENIZER.decode(one.prompt_ids)
        assert len(one.response_ids) == len(one.response_mask) == len(one.response_logprobs)


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What workers write, by its key."""
    written: dict[str, Any] = {}

    async def keep(keys: list[str], fields: Any, tags: Any, partition_id: str) -> None:  # noqa: ANN401
        written.update(zip(keys, fields, strict=True))

    monkeypatch.setattr(agent_loop_tq.tq, "async_kv_batch_put", keep)
    return written


def made_worker() -> Any:  # noqa: ANN401
    worker: Any = object.__new__(StepWorker)
    worker.reward_loop_worker_handles = worker.processor = None
    worker.distillation_enabled = False
    return worker


def test_a_validation_row_is_an_episode_whose_reward_is_its_score(put: dict[str, Any]) -> None:
    outputs = rollout(Model(), 5)
    score = outputs[0].extra_fields["score"]
    row = {"uid": "p5", "session_id": 0, "global_steps": 1}
    asyncio.run(made_worker()._agent_loop_postprocess(outputs, True, **row))
    ((key, written),) = put.items()
    assert key.split("_")[0] == "p5"
    assert written["rm_scores"].sum().item() == pytest.approx(score)
    assert score not in (0.0, sum(one.reward_score for one in outputs))


def test_verls_own_grpo_compares_the_replies_of_a_step(put: dict[str, Any]) -> None:
    worker, model, rewards = made_worker(), Model(), {}
    for uid, seed in (("p5", 5), ("p6", 6)):
        for session in range(3):
            outputs = rollout(model, seed)
            for step, one in enumerate(outputs):
                rewards[f"{uid}_{step}_{session}_0"] = one.reward_score
            row = {"uid": uid, "session_id": session, "global_steps": 1}
            asyncio.run(worker._agent_loop_postprocess(outputs, False, **row))
    assert set(put) == set(rewards)
    # How the buffer finds a prompt's rows.
    assert {key.split("_")[0] for key in put} == {"p5", "p6"}

    def padded(name: str) -> torch.Tensor:
        rows = [torch.as_tensor(one[name]).float() for one in put.values()]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    tensors = {"response_mask": padded("response_mask"), "token_level_rewards": padded("rm_scores")}
    uids = np.array([one["uid"] for one in put.values()], dtype=object)
    data = DataProto.from_dict(tensors, non_tensors={"uid": uids})
    data = compute_advantage_for_multi_trajectories(data, list(put), AdvantageEstimator.GRPO)
    groups = defaultdict(list)
    for key, reward in rewards.items():
        groups[key.rsplit("_", 2)[0]].append(reward)
    assert len(groups) == 6
    for key, values in zip(put, data.batch["advantages"], strict=True):
        group = np.array(groups[key.rsplit("_", 2)[0]])
        expected = (rewards[key] - group.mean()) / (group.std(ddof=1) + 1e-6)
        assert values[0].item() == pytest.approx(expected, abs=1e-3)


def test_rows_come_back_from_the_file_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import Dataset

    monkeypatch.chdir(tmp_path)
    rows = run_page("verl")["rows"]
    read = Dataset.from_parquet(str(tmp_path / "train.parquet"), cache_dir=str(tmp_path))
    assert len(read) == len(rows) == 1000
    outputs = played(Model(), read[7])
    text, _ = gym.make(ENV, num_chunks=3).reset(seed=7)
    assert text in TOKENIZER.decode(outputs[0].prompt_ids)
    assert len(outputs) == 3

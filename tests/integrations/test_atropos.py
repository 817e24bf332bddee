"""Atropos for real: its managed server against one on loopback (tox run -e atropos)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("atroposlib")

from atroposlib.api.server import ScoredData
from atroposlib.envs.base import APIServerConfig
from transformers import AutoTokenizer

from finemem_env.integrations import play_groups
from finemem_env.integrations.atropos import MemoryAtroposConfig, MemoryAtroposEnv
from finemem_env.integrations.rows import Credit
from tests.backends.servers import Response, Seen, ServerBase
from tests.integrations.replies import ARGS, ENV, Notes, paid, replayed, run_page

TOKENIZER = str(Path(__file__).resolve().parents[2] / "agents" / "assets" / "tiny")
LOGPROB = -0.5


class TokenServer(ServerBase):
    """Speaks what Atropos asks of vLLM: token ids in, token ids with log-probabilities out."""

    def __init__(self) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(TOKENIZER)
        self.notes: Callable[[str], str] = Notes()
        super().__init__()

    def respond(self, seen: Seen) -> Response:
        if not seen.path.endswith("/generate"):
            return Response(b"{}")
        prompt = self.tokenizer.decode(seen.json["prompt"]["prompt_token_ids"])
        ids = self.tokenizer.encode(self.notes(prompt), add_special_tokens=False)
        logprobs = [[[{str(one): LOGPROB}] for one in ids]]
        return Response(json.dumps({"logprobs": logprobs, "finish_reasons": ["stop"]}).encode())


async def played(
    server: ServerBase, seed: int = 0, credit: Credit = "step"
) -> tuple[MemoryAtroposEnv, list[Any]]:
    settings = MemoryAtroposConfig(
        tokenizer_name=TOKENIZER,
        group_size=2,
        use_wandb=False,
        env_args=ARGS,
        eval_episodes=2,
        credit=credit,
    )
    endpoint = APIServerConfig(
        model_name=TOKENIZER,
        base_url=server.url,
        api_key="unused",
        server_type="vllm",
        health_check=False,
    )
    env = MemoryAtroposEnv(settings, [endpoint])
    await env.setup()
    env.next_seed = seed
    groups, backlog = await env.collect_trajectories(await env.get_next_item())
    assert backlog == []
    return env, groups


@pytest.mark.parametrize("credit", ["step", "reward_to_go"])
def test_a_scored_group_for_every_step_with_the_servers_tokens(credit: Credit) -> None:
    with TokenServer() as server:
        env, groups = asyncio.run(played(server, credit=credit))
    assert len(groups) == 3
    for group in groups:
        ScoredData(**group)  # what the trainer's side accepts
        assert group["group_overrides"] == {"group_size": 2}
    for g in range(2):
        said = [group["messages"][g] for group in groups]
        texts, rewards = replayed(0, [messages[-1]["content"] for messages in said])
        assert [group["scores"][g] for group in groups] == pytest.approx(paid(rewards, credit))
        assert [messages[1]["content"] for messages in said] == texts
        for group, messages in zip(groups, said, strict=True):
            tokens, masks = group["tokens"][g], group["masks"][g]
            reply = [token for token, mask in zip(tokens, masks, strict=True) if mask != -100]
            assert env.tokenizer.decode(reply) == messages[-1]["content"]
            prompt = env.tokenizer.decode(tokens[: -len(reply)])
            assert all(message["content"] in prompt for message in messages[:-1])
            assert group["inference_logprobs"][g][-len(reply) :] == [LOGPROB] * len(reply)


def test_an_evaluation_is_the_mean_score() -> None:
    async def evaluated() -> list[tuple[str, float]]:
        env, _ = await played(server)
        server.notes = Notes()
        await env.evaluate()
        return env.eval_metrics

    with TokenServer() as server:
        ((name, score),) = asyncio.run(evaluated())
    notes = Notes()
    scores = [
        play_groups(
            ENV,
            [seed],
            1,
            lambda prompts: [notes(one[-1]["content"]) for one in prompts],
            env_args={**ARGS, "split": "val"},
        )[0].score
        for seed in range(2)
    ]
    assert name == "eval/score"
    assert score == pytest.approx(sum(scores) / 2)


def test_the_page() -> None:
    with TokenServer() as server:
        groups = run_page("Atropos", server.url.removesuffix("/v1"))["groups"]
    assert [len(group["tokens"]) for group in groups] == [2, 2, 2]

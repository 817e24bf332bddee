"""ART for real: its client against a server on loopback (tox run -e art)."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("art")

import art

from finemem_env.integrations.art import gather_steps
from finemem_env.integrations.rows import Credit
from tests.backends.servers import StubServer
from tests.integrations.replies import ARGS, ENV, Notes, paid, replayed, run_page


@pytest.mark.parametrize("credit", ["step", "reward_to_go"])
def test_a_group_for_every_step_with_the_rewards_of_its_replies(credit: Credit) -> None:
    notes = Notes()
    with StubServer(lambda request: notes(request["messages"][-1]["content"])) as server:
        model = art.Model(
            name="stub",
            project="test",
            inference_api_key="unused",
            inference_base_url=server.url,
            inference_model_name="stub",
        )
        groups = asyncio.run(gather_steps(model, ENV, 5, 2, env_args=ARGS, credit=credit))
        asked = [seen.json for seen in server.seen]
    assert [len(group.trajectories) for group in groups] == [2, 2, 2]
    assert all(one["logprobs"] is True for one in asked)
    for g in range(2):
        rollout = [group.trajectories[g] for group in groups]
        said = [one.messages() for one in rollout]
        texts, rewards = replayed(5, [messages[-1]["content"] for messages in said])
        assert [one.reward for one in rollout] == pytest.approx(paid(rewards, credit))
        assert [messages[1]["content"] for messages in said] == texts
        assert {len(messages) for messages in said} == {3}
        assert [one.metadata["step"] for one in rollout] == [0, 1, 2]
    first, second = ([one.reward for one in group.trajectories] for group in groups[:2])
    assert first[0] != first[1] or second[0] != second[1]


def test_the_page() -> None:
    notes = Notes()
    with StubServer(lambda request: notes(request["messages"][-1]["content"])) as server:
        groups = run_page("ART", server.url.removesuffix("/v1"))["groups"]
    assert [len(group.trajectories) for group in groups] == [2, 2, 2]

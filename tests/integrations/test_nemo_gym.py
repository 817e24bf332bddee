"""NeMo Gym for real: its agent, our server, its OpenEnv server (tox run -e nemo_gym)."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("nemo_gym")

import gymnasium as gym
import httpx
from nemo_gym.config_types import BaseServerConfig, ModelServerRef, ResourcesServerRef
from nemo_gym.global_config import NEMO_GYM_CONFIG_DICT_ENV_VAR_NAME
from nemo_gym.server_utils import ServerClient, global_aiohttp_client_exit
from omegaconf import OmegaConf
from resources_servers.gymnasium import EnvResetRequest
from resources_servers.openenv.app import OpenEnvResourcesServer, OpenEnvResourcesServerConfig
from responses_api_agents.gymnasium_agent.app import GymnasiumAgent, GymnasiumAgentConfig

from finemem_env.integrations.nemo_gym import MemoryServer, MemoryServerConfig
from tests.backends.servers import Response, Seen, ServerBase
from tests.integrations.replies import ARGS, ENV, Notes, replayed, run_page
from tests.integrations.serving import served

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "finemem_nemo_gym"
PLACE: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "entrypoint": "app.py"}


class ResponsesServer(ServerBase):
    """Speaks the part of the Responses API that NeMo Gym asks a model for."""

    def __init__(self, reply: Callable[[str], str]) -> None:
        self.reply = reply
        super().__init__()

    def respond(self, seen: Seen) -> Response:
        text = self.reply(seen.json["input"][-1]["content"])
        said = {"type": "output_text", "text": text, "annotations": []}
        message = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}
        reply = {"id": "r", "object": "response", "created_at": 1, "model": "stub", "tools": []}
        reply |= {"parallel_tool_calls": False, "tool_choice": "auto"}
        return Response(json.dumps(reply | {"output": [message | {"content": [said]}]}).encode())


def client(**addresses: str) -> ServerClient:
    """NeMo Gym's client of its servers, by their names."""
    servers: dict[str, Any] = {}
    for name, address in addresses.items():
        at = urlsplit(address)
        place = PLACE | {"host": at.hostname, "port": at.port}
        servers[name] = {"resources_servers": {name: place}}
    head = BaseServerConfig(host="127.0.0.1", port=1)
    return ServerClient(head_server_config=head, global_config_dict=OmegaConf.create(servers))


def rollout(
    reply: Callable[[str], str], seed: int, args: dict[str, Any] = ARGS, max_steps: int = 20
) -> tuple[dict[str, Any], list[Any]]:
    """What NeMo Gym's agent returns for a row of the dataset, and what the model was asked."""
    config = MemoryServerConfig(**PLACE, name="finemem", env_id=ENV, env_args=args)
    server = MemoryServer(config=config, server_client=client())
    with ResponsesServer(reply) as model, served(server.setup_webserver()) as address:
        chosen = GymnasiumAgentConfig(
            **PLACE,
            name="agent",
            resources_server=ResourcesServerRef(type="resources_servers", name="finemem"),
            model_server=ModelServerRef(type="responses_api_models", name="model"),
            max_steps=max_steps,
        )
        others = client(finemem=address, model=model.url.removesuffix("/v1"))
        agent = GymnasiumAgent(config=chosen, server_client=others)
        row = {"responses_create_params": {"input": []}, "seed": seed}
        with pytest.MonkeyPatch.context() as patch, served(agent.setup_webserver()) as running:
            patch.setenv(NEMO_GYM_CONFIG_DICT_ENV_VAR_NAME, "{}")  # as `ng_run` tells its servers
            done = httpx.post(f"{running}/run", json=row, timeout=60)
        global_aiohttp_client_exit()  # it belongs to the loop of that agent
        assert done.status_code == 200, done.text
        return done.json(), [seen.json["input"] for seen in model.seen]


def through_openenv(seed: int, replies: Sequence[str], args: dict[str, Any]) -> list[float]:
    """The step rewards in the last answer of NeMo Gym's own OpenEnv server."""
    config = OpenEnvResourcesServerConfig(
        **PLACE,
        name="finemem",
        env_class="finemem_env.integrations.openenv.MemoryEnvironment",
        action_class="finemem_env.integrations.openenv.Edit",
        reset_kwargs={"seed": seed},
    )
    server = OpenEnvResourcesServer(config=config, server_client=client())
    with (
        pytest.MonkeyPatch.context() as patch,
        served(server.setup_webserver()) as address,
        httpx.Client(base_url=address) as session,
    ):
        patch.setenv("FINEMEM_ENV_ID", ENV)
        patch.setenv("FINEMEM_ENV_ARGS", json.dumps(args))
        session.post("/seed_session", json={})
        for reply in replies:
            seen = session.post("/step", json={"text": reply}).json()
    assert seen["done"]
    rewards: list[float] = seen["metadata"]["step_rewards"]
    return rewards


def test_a_rollout_of_its_agent_is_an_episode_of_the_plain_environment() -> None:
    notes, replies = Notes(), []

    def reply(prompt: str) -> str:
        replies.append(notes(prompt))
        return replies[-1]

    rolled, asked = rollout(reply, 5)
    texts, rewards = replayed(5, replies)
    assert rolled["reward"] == pytest.approx(sum(rewards))
    assert rolled["info"]["step_rewards"] == pytest.approx(rewards)
    assert (rolled["terminated"], rolled["truncated"]) == (True, False)
    assert not {"answers", "chunk_answers"} & set(rolled["info"])
    assert asked[0][-1]["content"].endswith(texts[0])
    assert [request[-1]["content"] for request in asked[1:]] == texts[1:]
    assert [len(request) for request in asked] == [1, 3, 5]  # the conversation grows


def test_an_agent_with_too_few_steps_says_that_it_was_cut() -> None:
    rolled, _ = rollout(Notes(), 5, max_steps=2)
    assert (rolled["terminated"], rolled["truncated"]) == (False, True)
    assert rolled["info"]["step_rewards"] == []


def test_sessions_are_apart() -> None:
    config = MemoryServerConfig(**PLACE, name="finemem", env_id=ENV, env_args=ARGS)
    server = MemoryServer(config=config, server_client=client())

    async def two() -> list[str]:
        return [(await server.reset({"seed": seed}, str(seed)))[0] for seed in (5, 6)]

    first, second = asyncio.run(two())
    assert first.endswith(replayed(5, ["[]"] * 3)[0][0])
    assert second.endswith(replayed(6, ["[]"] * 3)[0][0])
    assert set(server.session_state) == {"5", "6"}


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page("NeMo Gym")
    *_, last = (tmp_path / "train.jsonl").read_text("utf-8").splitlines()
    rolled, asked = rollout(Notes(), EnvResetRequest(**json.loads(last)).model_extra["seed"])
    assert rolled["terminated"]
    assert asked[0][-1]["content"].endswith(gym.make(ENV, **ARGS).reset(seed=999)[0])


def test_the_folder_of_examples_is_one_of_its_resources_servers() -> None:
    told: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / "configs" / "finemem.yaml"))
    address = {"host": "127.0.0.1", "port": 1, "name": "finemem"}
    server = told["finemem_resources_server"]["resources_servers"]["finemem"]
    agent = told["finemem_gymnasium_agent"]["responses_api_agents"]["gymnasium_agent"]
    made = MemoryServerConfig(**address, **server)
    assert GymnasiumAgentConfig(**address, **agent).max_steps == made.env_args["num_chunks"]
    assert runpy.run_path(str(FOLDER / server["entrypoint"]))["MemoryServer"] is MemoryServer
    rows = (FOLDER / "data" / "example.jsonl").read_text("utf-8").splitlines()
    assert [EnvResetRequest(**json.loads(row)).model_extra for row in rows][1] == {"seed": 1}

"""Readers and managers behind an endpoint: what arrives at a server on loopback."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baselines.managers.llm import Llm
from baselines.managers.messages import Messages
from finemem_env import MemoryEnv
from finemem_env.backends import ChatRequest, Message
from finemem_env.data.schema import write_episodes
from finemem_env.errors import ConfigError
from finemem_env.readers.models import make_model_judge, make_model_reader
from finemem_env.types import Medium, ReadRequest
from tests.backends.fakes import FakeBackend
from tests.backends.servers import StubServer
from tests.media.test_media import MP3, PNG, WAV
from tests.media.test_media_steps import EPISODE

pytest.importorskip("openai", reason="needs the extra openai")
SIGN, BELL = Medium("image", "A sign.", PNG, "m1", 6), Medium("audio", "", WAV, "m2", 50)
REQUEST = ReadRequest(
    "What?", ("[image m1: A sign.]", "x", "[audio m2]"), media=((SIGN,), (), (BELL,))
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    monkeypatch.delenv("FINEMEM_CACHE", raising=False)
    with StubServer(lambda body: "Answer: KX12\nUsed: 1") as made:
        yield made


def _config(server: StubServer, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"name": "openai", "model": "stub", "base_url": server.url, **options}


def _content(server: StubServer) -> Any:  # noqa: ANN401
    return server.seen[-1].json["messages"][-1]["content"]


def test_a_reader_that_sees_is_sent_the_bytes(server: StubServer) -> None:
    reader = make_model_reader(_config(server, sees=["image", "audio"]))
    assert reader.version.endswith("sees=audio sees=image")
    assert reader.answer([REQUEST])[0].text == "KX12"
    text, m1, image, m2, audio = _content(server)
    assert text["type"] == "text"
    assert "[1] [image m1: A sign.]" in text["text"]
    assert [m1, m2] == [{"type": "text", "text": name} for name in ("m1", "m2")]
    head, _, body = image["image_url"]["url"].partition(",")
    assert (image["type"], head) == ("image_url", "data:image/png;base64")
    assert base64.b64decode(body) == PNG
    assert audio["type"] == "input_audio"
    assert audio["input_audio"]["format"] == "wav"
    assert base64.b64decode(audio["input_audio"]["data"]) == WAV


def test_only_what_the_model_takes_is_sent(server: StubServer) -> None:
    make_model_reader(_config(server, sees=["audio"])).answer([REQUEST])
    assert [part["type"] for part in _content(server)] == ["text", "text", "input_audio"]
    reader = make_model_reader(_config(server))
    reader.answer([REQUEST])
    assert isinstance(_content(server), str)  # text alone is the default
    assert "sees" not in reader.version
    text_only = ReadRequest("What?", ("x",), media=((Medium("image", "no file", name="m9"),),))
    make_model_reader(_config(server, sees=["image"])).answer([text_only])
    assert isinstance(_content(server), str)


def test_a_picture_of_another_format(server: StubServer) -> None:
    request = ReadRequest("What?", ("x",), media=((Medium("audio", "", MP3, "m1", 50),),))
    make_model_reader(_config(server, sees=["audio"])).answer([request])
    assert _content(server)[-1]["input_audio"]["format"] == "mp3"


def test_the_cache_tells_pictures_apart(server: StubServer, tmp_path: Path) -> None:
    reader = make_model_reader(_config(server, sees=["image"], cache=str(tmp_path / "c.sqlite")))
    other = ReadRequest(
        REQUEST.question, REQUEST.items, media=((Medium("image", "A sign.", PNG + b"x", "m1", 6),),)
    )
    for request in (REQUEST, other, REQUEST):
        reader.answer([request])
    assert len(server.seen) == 2


def test_keys_without_media_are_as_ever() -> None:
    request = ChatRequest((Message("user", "x"),), prompt="p")
    assert request.key("m") == (
        '["m", {"messages": [{"content": "x", "role": "user"}], "prompt": "p", "sampling": '
        '{"max_tokens": 256, "seed": null, "temperature": 0.1, "top_p": 1.0}, "tools": []}]'
    )


def test_a_prompt_bound_counts_them() -> None:
    class Sees(FakeBackend):
        sees = ("image",)

    from finemem_env.readers.prompted import PromptedReader

    backend = Sees(lambda request: "Answer: x", context_tokens=400)
    big = Medium("image", "", PNG, "m1", 1000)
    PromptedReader(backend).answer([ReadRequest("What?", ("a", "b"), media=((), (big,)))])
    (request,) = backend.batches[0]
    assert "[1] a" in request.messages[-1].content
    assert "[2] b" not in request.messages[-1].content
    assert request.messages[-1].media == ()


def test_a_manager_that_sees(server: StubServer, tmp_path: Path) -> None:
    write_episodes(tmp_path / "mine.jsonl", [EPISODE])
    env = MemoryEnv(source=str(tmp_path / "mine.jsonl"))
    observation, info = env.reset(seed=0)
    Llm(_config(server, sees=["image"])).act(observation, info)
    parts = _content(server)
    assert [part["type"] for part in parts] == ["text", "text", "image_url"]
    assert parts[0]["text"] == observation
    image = EPISODE.chunks[0].media[0].data
    assert base64.b64decode(parts[2]["image_url"]["url"].split(",")[1]) == image
    Llm(_config(server)).act(observation, info)
    assert _content(server) == observation


def test_an_agent_in_messages_is_given_them() -> None:
    got: list[Any] = []

    class Notebook:
        def send_message(self, text: str, memorizing: bool, media: Any = ()) -> str:  # noqa: ANN401
            got.append((memorizing, [one.name for one in media]))
            return "KX12"

    agent = Messages(Notebook)
    env = MemoryEnv(source=iter([*EPISODE.chunks, *EPISODE.questions]), memory_budget=9, media=True)
    agent.attach(env)
    observation, info = env.reset(seed=0)
    agent.reset(info)
    over = False
    while not over:
        observation, _, over, _, info = env.step(agent.act(observation, info))
    assert got == [(True, ["m1", "m2"]), (True, ["m3"]), (False, [])]
    assert info["score"] == 1.0


@pytest.mark.parametrize("sees", ["image", ["smell"], [1]])
def test_a_sense_that_is_none(sees: Any, server: StubServer) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match='sees must be a list of some of "image" and "audio"'):
        make_model_reader(_config(server, sees=sees))


def test_backends_that_take_text_alone_refuse_it() -> None:
    with pytest.raises(ConfigError, match=r"option of 'transformers'.*'sees'"):
        make_model_reader({"name": "transformers", "model": "x", "sees": ["image"]})
    with pytest.raises(ConfigError, match="a judge is shown texts alone"):
        make_model_judge({"name": "openai", "model": "x", "sees": ["image"]})

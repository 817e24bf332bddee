"""Memory systems by name: what is refused before anything is played, and the client they share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from baselines.agents import AGENTS, CONFIGURED, STORES, make_agent
from baselines.benchmark import main as benchmark
from baselines.runs.folder import RunFolder
from baselines.stores.clients import Client, Server
from baselines.stores.embedders import make_embedder
from baselines.stores.graphiti import fact_text, read_time
from baselines.stores.library import Keys
from baselines.stores.relay import Relay
from finemem_env.backends.usage import Ledger
from finemem_env.errors import ConfigError
from tests.backends.servers import Response, StubServer
from tests.baselines.systems.server import MemoryServer
from tests.installed import needs

needs("openai", "libraries call their model through openai")


PACKAGES = {
    "mem0": "mem0",
    "langmem": "langmem",
    "a_mem": "agentic_memory",
    "llama_index": "llama_index",
    "txtai": "txtai",
    "graphiti": "graphiti_core",
    "letta": "letta_client",
}
PLACE = {"name": "openai", "model": "stub", "base_url": "http://127.0.0.1:9/v1"}


def wanted(name: str) -> dict[str, Any]:
    return {} if name == "txtai" else {"backend": PLACE, "embeddings": PLACE}


def test_every_system_is_an_agent_of_its_own_name() -> None:
    assert set(PACKAGES) | {"vector"} == set(STORES) & {*AGENTS, *CONFIGURED}
    assert set(STORES) - set(CONFIGURED) == {"bm25"}  # `rag` with a search of its own: `store`


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_missing_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (PACKAGES[name], "llama_index.core"):
        monkeypatch.setitem(sys.modules, module, None)
    extra = name.replace("_", "-")
    with pytest.raises(ConfigError, match=rf"^store '{name}' needs .*'\.\[{extra}\]'") as error:
        make_agent(name, wanted(name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "txtai"])
def test_a_model_and_embeddings_must_be_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^store '{name}': backend expects"):
        make_agent(name)
    with pytest.raises(ConfigError, match=f"^store '{name}': embeddings expects"):
        make_agent(name, {"backend": PLACE})
    with pytest.raises(ConfigError, match=r"'modle'.*Did you mean 'model'"):
        make_agent(name, {"backend": {**PLACE, "modle": "x"}, "embeddings": PLACE})
    with pytest.raises(ConfigError, match="unexpected keyword argument 'backends'"):
        make_agent(name, {"backends": PLACE})


def test_txtai_takes_embeddings_where_it_searches_by_them() -> None:
    for given, said in (
        ({"search": "keywords"}, "Did you mean 'keyword'"),
        ({"embeddings": PLACE}, "takes no embeddings"),
        ({"search": "dense"}, "embeddings expects"),
    ):
        with pytest.raises(ConfigError, match=said):
            make_agent("txtai", given)


def test_the_command_refuses_in_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(["--agent", "vector", "--output-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: store 'vector': embeddings expects")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    with MemoryServer() as one:
        yield one


def vector(server: MemoryServer, folder: Path) -> Any:  # noqa: ANN401
    given = f'{{"name": "openai", "model": "words", "base_url": "{server.url}", "retries": 0}}'
    arguments = ["--env", "FineMem-AR-v0", "--env-args", '{"num_chunks": 2}', "--episodes", "1"]
    arguments += ["--agent", "vector", "--agent-args", f'{{"embeddings": {given}}}']
    assert benchmark([*arguments, "--no-reference", "--output-dir", str(folder)]) == 0
    (result,) = RunFolder(folder).results()
    return result


def test_embeddings_of_an_endpoint_are_counted_apart(
    server: MemoryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baselines.runs.run.play_parallel", _here)
    result = vector(server, tmp_path)
    assert (result.status, set(result.usage)) == ("ok", {"embeddings"})
    assert result.usage["embeddings"]["calls"] == len(server.seen)
    server.down = {"/embeddings"}
    result = vector(server, tmp_path / "down")
    assert result.status == "invalid"
    assert "503" in result.error


def _here(jobs: Any, workers: int, time_limit: float | None) -> Any:  # noqa: ANN401
    """In this process, where the server runs too: a worker costs its start."""
    from baselines.runs.player import Player

    player = Player()
    for job in jobs:
        yield job, *player.play(job)


def client(server: StubServer | MemoryServer) -> Client:
    return Client(Server("stub", server.url, retries=0))


def test_an_outage_that_a_library_swallows_is_raised() -> None:
    replies = iter([503, 503, 400, 200])

    def answer(body: Any) -> str | Response:  # noqa: ANN401
        status = next(replies)
        return "yes" if status == 200 else Response(b'{"error": {"message": "no"}}', status)

    import openai

    ledger = Ledger()
    with StubServer(answer) as stub, ledger.open():
        one = client(stub)

        def careless() -> None:
            with suppress(openai.APIError):
                one.openai.chat.completions.create(model="stub", messages=[])

        def misled() -> None:
            careless()
            raise KeyError("keywords")

        with pytest.raises(openai.InternalServerError) as outage, one.watched():
            misled()
        assert isinstance(outage.value.__cause__, KeyError)
        with pytest.raises(openai.InternalServerError), one.watched():
            careless()  # nothing else tells of it
        with one.watched():
            careless()  # refused as it stands: the library's own doing
        with one.watched():
            careless()
        one.close()
    spent = ledger.spent()["manager"]
    assert (spent.calls, spent.prompt_tokens, spent.reply_tokens) == (4, 11, 4)
    assert spent.seconds > 0


def test_what_a_relay_is_asked_is_counted_and_asked_once(server: MemoryServer) -> None:
    import openai

    ledger = Ledger()
    with ledger.open():
        one, embedder = client(server), make_embedder(PLACE | {"base_url": server.url}, "here")
        relay = Relay(one, embedder)
    with openai.OpenAI(base_url=relay.url, api_key="unused") as system:  # retries twice by itself
        rows = system.embeddings.create(model="given", input=["a red key", "a gate"]).data
        assert rows[1].embedding == pytest.approx(embedder.embed(["a gate"])[0])
        messages: Any = [{"role": "user", "content": "Content for analysis: Mara"}]
        reply = system.chat.completions.create(model="stub", messages=messages, temperature=0.5)
        assert "Mara" in str(reply.choices[0].message.content)
        assert server.seen[-1].json["temperature"] == 0.5
        server.down = {"/chat/completions"}
        with (
            pytest.raises(openai.InternalServerError, match="503"),
            one.watched(),
            suppress(openai.InternalServerError),
        ):
            system.chat.completions.create(model="stub", messages=messages)
    relay.close()
    spent = ledger.spent()
    assert (
        (spent["embeddings"].calls, spent["manager"].calls) == (1, 2) == (1, len(server.seen) - 1)
    )


def test_keys_are_numbers_by_when_they_came() -> None:
    keys = Keys()
    assert [keys.key(own) for own in ("b7", "a1", "b7")] == ["0", "1", "0"]
    assert keys.sorted(["a1", "c3", "b7"], str) == [("0", "b7"), ("1", "a1"), ("2", "c3")]
    assert keys.own("1") == "a1"
    assert keys.found(["c3", "nobody's", "b7"]) == ["2", "0"]


def test_a_fact_of_graphiti_says_when_it_held() -> None:
    may, undated = datetime(2024, 5, 1, 9, tzinfo=UTC), datetime(1900, 1, 1, 0, 3, tzinfo=UTC)

    def text(since: datetime | None, until: datetime | None) -> str:
        edge = SimpleNamespace(fact="Mara lives in Oslo.", valid_at=since, invalid_at=until)
        return fact_text(edge)

    assert text(None, None) == text(undated, None) == "Mara lives in Oslo."
    assert text(may, None) == "Mara lives in Oslo. (from 2024-05-01)"
    assert text(may, may) == "Mara lives in Oslo. (from 2024-05-01 until 2024-05-01)"
    assert text(undated, may) == "Mara lives in Oslo. (until 2024-05-01)"


def test_graphiti_is_told_times_in_iso_form() -> None:
    assert read_time("2024-05-01") == datetime(2024, 5, 1, tzinfo=UTC)
    assert read_time("2024-05-01T09:00:00+00:00") == datetime(2024, 5, 1, 9, tzinfo=UTC)
    assert read_time("1:56 pm on 8 May, 2023") is read_time(None) is None

"""The client of a vLLM server against a scripted one: what it sends, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finemem_env.backends import Sampling, vllm_server
from finemem_env.backends.sampler import Sample, SampleOptions, Sampler
from finemem_env.backends.transport import Patience
from finemem_env.backends.vllm_server import ServerSampler
from finemem_env.errors import BackendError
from tests.backends.servers import Response, Seen, ServerBase
from tests.installed import needs

needs("openai", "needs the extra openai")

QUICK = Patience(concurrency=4, timeout=2.0, deadline=2.0)


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value).encode(), status)


def _completion(choice: dict[str, object]) -> Response:
    return _json({"id": "c", "object": "text_completion", "choices": [choice]})


class Scripted(ServerBase):
    """A vLLM server of one model; `special` answers some paths differently."""

    def __init__(self, special: dict[str, Callable[[Seen], Response]] | None = None) -> None:
        self.special = special or {}
        super().__init__()

    def respond(self, seen: Seen) -> Response:
        path = seen.path.split("?")[0]
        if path in self.special:
            return self.special[path](seen)
        if path == "/v1/models":
            return _json({"object": "list", "data": [{"id": "tiny", "max_model_len": 512}]})
        if path == "/v1/completions":
            return _completion(_choice(seen.json))
        return _json({"success": True})

    def bodies(self, path: str) -> list[Any]:
        return [one.json for one in self.seen if one.path == path]


def _choice(body: Any) -> dict[str, object]:  # noqa: ANN401
    ids = [7, 2]
    columns = [None, *({str(token): {"logprob": -0.5}} for token in body["prompt"][1:])]
    return {
        "index": 0,
        "text": "",
        "finish_reason": "stop",
        "token_ids": ids,
        "prompt_logprobs": columns,
        "logprobs": {"token_logprobs": [-0.25, None]},
    }


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finemem_env.backends.retry._FIRST_WAIT", 0.02)
    monkeypatch.setattr(vllm_server, "_FIRST", QUICK)
    monkeypatch.setattr(vllm_server, "_RESET_WAITS", (0.0, 0.01))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as running:
        yield running


def connect(server: ServerBase, **options: Any) -> ServerSampler:  # noqa: ANN401
    return ServerSampler.connect(server.url, patience=QUICK, **options)


def test_model_and_context_are_the_servers(server: Scripted) -> None:
    sampler = connect(server)
    assert isinstance(sampler, Sampler)
    assert (sampler.model, sampler.context_tokens) == ("tiny", 512)
    sampler.close()


def test_draws_are_from_the_whole_distribution_whatever_the_models_config_says(
    server: Scripted,
) -> None:
    sampler = connect(server)
    sampling = Sampling(0.7, max_tokens=9, seed=5)
    (first, second) = sampler.sample([[1, 2], [1, 2]], sampling, SampleOptions((2, 3)))
    sampler.close()
    assert first is not None
    assert second is not None
    assert (first.token_ids, first.finished) == ((7, 2), True)
    assert first.logprobs[0] == -0.25
    assert math.isnan(first.logprobs[1])
    bodies = sorted(server.bodies("/v1/completions"), key=lambda body: int(body["seed"]))
    assert [body["seed"] for body in bodies] == [5, 6]
    expected = {"prompt": [1, 2], "temperature": 0.7, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
    expected |= {"repetition_penalty": 1.0, "stop_token_ids": [2, 3], "max_tokens": 9}
    assert expected.items() <= bodies[0].items()


def test_logprobs_of_a_sequence(server: Scripted) -> None:
    sampler = connect(server)
    assert sampler.logprobs([[4, 5, 6]]) == [[-0.5, -0.5]]
    sampler.close()


def test_an_update_names_the_folder_and_waits_for_the_cache(tmp_path: Path) -> None:
    answers = iter([False, True])
    special = {"/reset_prefix_cache": lambda _: _json({"success": next(answers)})}
    with Scripted(special) as server:
        sampler = connect(server)
        sampler.update(tmp_path)
        sampler.close()
        (body,) = server.bodies("/collective_rpc")
        assert body == {"method": "reload_weights", "kwargs": {"weights_path": str(tmp_path)}}
        assert len(server.bodies("/reset_prefix_cache")) == 2


def test_a_cache_that_stays_is_refused(tmp_path: Path) -> None:
    with Scripted({"/reset_prefix_cache": lambda _: _json({"success": False})}) as server:
        sampler = connect(server)
        with pytest.raises(BackendError, match="kept its prefix cache"):
            sampler.update(tmp_path)
        sampler.close()


@pytest.mark.parametrize(
    "answer",
    [
        Response(b"<html>", headers={"content-type": "text/html"}),
        _json([]),
        _json(None),
        _json({"detail": "Not Found"}),
        _json({"data": None}),
        _json({"data": ["tiny"]}),
        _json({"data": [{"id": "tiny", "max_model_len": "512"}]}),
        _json({"data": [{"id": "tiny", "max_model_len": 0}]}),
    ],
)
def test_a_list_of_models_of_another_form_is_no_vllm_server(answer: Response) -> None:
    with (
        Scripted({"/v1/models": lambda _: answer, "/models": lambda _: answer}) as server,
        pytest.raises(BackendError, match=r"is no vLLM server"),
    ):
        connect(server)


@pytest.mark.parametrize("status", [200, 404])
def test_an_address_without_its_version_says_so(status: int) -> None:
    answer = _json({"detail": "Not Found"}, status)
    with (
        Scripted({"/models": lambda _: answer}) as server,
        pytest.raises(BackendError, match=r"Its address ends with /v1\."),
    ):
        ServerSampler.connect(server.url.removesuffix("/v1"))


def test_what_is_no_vllm_server_says_so_and_how_to_start_one() -> None:
    server = Scripted({"/v1/models": lambda _: _json({"data": [{"id": "llama"}]})})
    with server, pytest.raises(BackendError, match=r"is no vLLM server.*vllm serve MODEL"):
        connect(server)
    with pytest.raises(BackendError, match=r"no vLLM server answers at .*vllm serve MODEL"):
        connect(server)


def test_one_of_several_models_must_be_named() -> None:
    cards = [{"id": name, "max_model_len": 64} for name in ("a", "b")]
    with Scripted({"/v1/models": lambda _: _json({"data": cards})}) as server:
        with pytest.raises(BackendError, match=r"serves \['a', 'b'\]: name one as model"):
            connect(server)
        assert connect(server, model="b").model == "b"


@pytest.mark.parametrize(
    "changed",
    [
        {"token_ids": [7, 2.5]},
        {"token_ids": ["7", "2"]},
        {"token_ids": None},  # as of a server that is not asked for them
        {"logprobs": None},
        {"logprobs": {"token_logprobs": [-0.25]}},
        {"logprobs": {"token_logprobs": ["a", "b"]}},
    ],
)
def test_a_reply_of_another_form_is_one_line_that_names_the_server(
    server: Scripted, changed: dict[str, object]
) -> None:
    sampler = connect(server)
    server.special["/v1/completions"] = lambda seen: _completion(_choice(seen.json) | changed)
    with pytest.raises(BackendError, match=r"server http.* answered without token ids"):
        sampler.sample([[1, 2]], Sampling(1.0, max_tokens=4))
    sampler.close()


@pytest.mark.parametrize("table", [None, [None], [None, {"9": {"logprob": -1.0}}], [None, {}]])
def test_a_probe_of_another_form_is_one_line_that_names_the_server(
    server: Scripted, table: object
) -> None:
    sampler = connect(server)
    answer = {"prompt_logprobs": table}
    server.special["/v1/completions"] = lambda seen: _completion(_choice(seen.json) | answer)
    with pytest.raises(BackendError, match=r"server http.* answered without log-probabilities"):
        sampler.logprobs([[4, 5]])
    sampler.close()


def test_what_stands_for_minus_infinity_is_no_log_probability(server: Scripted) -> None:
    sampler = connect(server)
    changed = {"logprobs": {"token_logprobs": [-0.25, -9999.0]}}
    server.special["/v1/completions"] = lambda seen: _completion(_choice(seen.json) | changed)
    (found,) = sampler.sample([[1, 2]], Sampling(1.0, max_tokens=4))
    sampler.close()
    assert found is not None
    assert math.isnan(found.logprobs[1])


def test_a_reply_that_the_server_broke_off_is_none(server: Scripted) -> None:
    sampler = connect(server)
    broken = {"finish_reason": "abort"}
    server.special["/v1/completions"] = lambda seen: _completion(_choice(seen.json) | broken)
    found: list[Sample | None] = sampler.sample([[1, 2]], Sampling(1.0, max_tokens=4))
    sampler.close()
    assert found == [None]
    assert len(server.bodies("/v1/completions")) == 5


def test_a_server_that_goes_away_gives_no_replies_instead_of_wrong_ones(server: Scripted) -> None:
    sampler = connect(server)
    server.special["/v1/completions"] = lambda _: Response(b"", reset=True)
    found: list[Sample | None] = sampler.sample([[1, 2]], Sampling(1.0, max_tokens=4))
    sampler.close()
    assert found == [None]

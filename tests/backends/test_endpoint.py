"""The endpoint client against scripted servers: faults, limits, deadlines, secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from finemem_env.backends import ChatRequest, Completion, Failure, Message, Sampling
from finemem_env.backends.endpoint import Endpoint, EndpointConfig
from finemem_env.backends.options import read_options
from finemem_env.backends.retry import RetryPolicy
from finemem_env.errors import BackendError, ConfigError
from tests.backends.servers import FaultProxy, Response, StubServer, chat_completion
from tests.installed import needs

needs("openai", "needs the extra openai")


SLOW = ("timeout", "slow_stream")  # faults that only a time-out ends
SECRET = "sk-very-secret-4711"


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finemem_env.backends.retry._FIRST_WAIT", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def make() -> Iterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []

    def build(url: str | None, **options: Any) -> Endpoint:  # noqa: ANN401
        given = {"model": "stub", "base_url": url, "timeout": 10.0, "deadline": 20.0} | options
        made.append(Endpoint(read_options(EndpointConfig, given, "endpoint")))
        return made[-1]

    yield build
    for endpoint in made:
        endpoint.close()


Make = Callable[..., Endpoint]


def _chat(text: str, **fields: Any) -> ChatRequest:  # noqa: ANN401
    return ChatRequest((Message("system", "be brief"), Message("user", text)), **fields)


def _echo(body: Any) -> str:  # noqa: ANN401
    return "said " + str(body["messages"][-1]["content"])


def test_replies_in_order_with_tokens_and_settings(make: Make) -> None:
    with StubServer(_echo) as server:
        sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=7, seed=3)
        chats = [_chat(str(i), sampling=sampling) for i in range(20)]
        replies = make(server.url, thinking=False).complete(chats)
    assert [one.text for one in replies] == [f"said {i}" for i in range(20)]
    assert replies[0] == Completion("said 0", prompt_tokens=11, completion_tokens=4)
    body = next(seen.json for seen in server.seen if "'0'" in repr(seen.json))
    assert body == {
        "model": "stub",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "0"},
        ],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_default_temperature_is_a_tenth(make: Make) -> None:
    with StubServer(_echo) as server:
        make(server.url).complete([_chat("a")])
    assert server.seen[0].json["temperature"] == 0.1


def test_concurrency_is_used_and_kept(make: Make) -> None:
    with StubServer(_echo, delay=0.05) as server:
        replies = make(server.url, concurrency=5).complete([_chat(str(i)) for i in range(25)])
    assert all(one.failure is None for one in replies)
    assert 2 <= server.in_flight_peak <= 5


@pytest.mark.parametrize("fault", sorted(FaultProxy.FAULTS))
def test_every_fault_is_overcome_when_it_passes(make: Make, fault: str) -> None:
    with StubServer(_echo) as server, FaultProxy(server.url) as proxy:
        proxy.faults.extend([fault, fault])
        timeout = 0.4 if fault in SLOW else 10.0
        (reply,) = make(proxy.url, timeout=timeout).complete([_chat("hello")])
        assert len(proxy.seen) >= 3
    assert reply == Completion("said hello", prompt_tokens=11, completion_tokens=4)


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("timeout", Failure.TIMEOUT),
        ("slow_stream", Failure.TIMEOUT),
        ("rate_limit", Failure.RATE_LIMIT),
        ("server_error", Failure.SERVER),
        ("bad_gateway", Failure.SERVER),
        ("truncated_json", Failure.MALFORMED),
        ("truncated_body", Failure.CONNECTION),
        ("not_json", Failure.MALFORMED),
        ("empty_choices", Failure.EMPTY),
        ("null_choices", Failure.MALFORMED),
        ("reset", Failure.CONNECTION),
    ],
)
def test_a_fault_that_stays_is_a_failure_record_within_the_deadline(
    make: Make, fault: str, failure: Failure
) -> None:
    with StubServer(_echo) as server, FaultProxy(server.url) as proxy:
        proxy.faults.extend([fault] * 500)
        start = time.perf_counter()
        timeout = 0.15 if fault in SLOW else 10.0
        (reply,) = make(proxy.url, timeout=timeout, deadline=0.6).complete([_chat("hello")])
        took = time.perf_counter() - start
        attempts = len(proxy.seen)
    assert (reply.text, reply.failure) == ("", failure)
    assert "attempt" in reply.detail
    assert took < 8  # an attempt that nothing ends waits for its 10 seconds
    assert attempts >= 2


def test_retry_after_is_waited_for(make: Make) -> None:
    with StubServer(_echo) as server, FaultProxy(server.url) as proxy:
        proxy.faults.extend(["rate_limit"])
        start = time.perf_counter()
        make(proxy.url).complete([_chat("hello")])
        assert time.perf_counter() - start >= 0.3


def test_a_wait_beyond_the_deadline_fails_at_once(make: Make) -> None:
    limit = Response(b"{}", 429, {"retry-after": "3600"})
    with StubServer(lambda _: limit) as server:
        start = time.perf_counter()
        (reply,) = make(server.url).complete([_chat("hello")])
        assert time.perf_counter() - start < 10
    assert reply.failure is Failure.RATE_LIMIT


def test_a_dead_server_costs_a_batch_one_deadline(make: Make) -> None:
    with StubServer(_echo) as server:
        url = server.url
    endpoint = make(url, concurrency=2, deadline=0.5)
    start = time.perf_counter()
    replies = endpoint.complete([_chat(str(i)) for i in range(200)])
    assert time.perf_counter() - start < 10  # a deadline for each pair would be 50 seconds
    assert {one.failure for one in replies} == {Failure.CONNECTION}


def test_a_server_that_comes_back_loses_nothing(make: Make) -> None:
    first = StubServer(_echo, delay=0.02)
    endpoint = make(first.url, concurrency=4, deadline=20.0)
    chats = [_chat(str(i)) for i in range(60)]
    replies: list[Completion] = []
    worker = threading.Thread(target=lambda: replies.extend(endpoint.complete(chats)))
    worker.start()
    while len(first.seen) < 15:
        time.sleep(0.005)
    first.stop()
    time.sleep(0.3)
    with StubServer(_echo, port=first.port):
        worker.join(20)
    assert [one.text for one in replies] == [f"said {i}" for i in range(60)]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"error":{"message":"The model does not exist"}}'),
        (400, b"{\"detail\": \"Server is pinned to '/m/tiny'; requested 'qwen-x'.\"}"),
    ],
)
def test_an_unknown_model_is_one_clear_error_naming_what_is_served(
    make: Make, status: int, body: bytes
) -> None:
    with StubServer(lambda _: Response(body, status)) as server:
        endpoint = make(server.url, model="qwen-x")
        message = r"does not serve the model 'qwen-x'.*It serves: stub\."
        with pytest.raises(BackendError, match=message):
            endpoint.complete([_chat(str(i)) for i in range(9)])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_one_clear_error_without_the_key(make: Make, status: int) -> None:
    refusal = Response(
        json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}}).encode(), status
    )
    message = r"refuses the key .* OPENAI_API_KEY"
    with (
        StubServer(lambda _: refusal) as server,
        pytest.raises(BackendError, match=message) as caught,
    ):
        make(server.url).complete([_chat("a")])
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("status", "error", "failure"),
    [
        (400, {"message": "too long", "code": "context_length_exceeded"}, Failure.TOO_LONG),
        (400, {"message": "This model's maximum context length is 1024 tokens."}, Failure.TOO_LONG),
        (400, {"message": "request (9 tokens) exceeds the available context size (4 tokens)"},
         Failure.TOO_LONG),
        (413, {"message": "payload"}, Failure.TOO_LONG),
        (400, {"message": "bad word", "param": "messages[0].content"}, Failure.REJECTED),
        (422, {"message": "no"}, Failure.REJECTED),
    ],
)  # fmt: skip
def test_what_one_request_did_is_a_record_and_not_asked_again(
    make: Make, status: int, error: dict[str, str], failure: Failure
) -> None:
    refusal = Response(json.dumps({"error": error}).encode(), status)
    with StubServer(lambda body: refusal if "bad" in str(body) else "fine") as server:
        replies = make(server.url).complete([_chat("bad"), _chat("good")])
    assert [one.failure for one in replies] == [failure, None]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "temperature does not support 0.1", "param": "temperature"}),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
    ],
)
def test_a_refused_setting_and_a_spent_quota_are_errors(
    make: Make, status: int, error: dict[str, str]
) -> None:
    refusal = Response(json.dumps({"error": error}).encode(), status)
    with (
        StubServer(lambda _: refusal) as server,
        pytest.raises(BackendError, match=error["message"]),
    ):
        make(server.url).complete([_chat("a")])


def test_content_filter_is_a_failure_and_a_cut_reply_is_marked(make: Make) -> None:
    body = chat_completion("half an answ")
    filtered = Response(body.replace(b'"stop"', b'"content_filter"'))
    cut = Response(body.replace(b'"stop"', b'"length"'))
    with StubServer(lambda asked: filtered if "filter" in str(asked) else cut) as server:
        first, second = make(server.url).complete([_chat("filter"), _chat("cut")])
    assert first.failure is Failure.REJECTED
    assert (second.text, second.cut) == ("half an answ", True)


def test_tool_calls_become_text_and_tools_are_sent(make: Make) -> None:
    tool = {"type": "function", "function": {"name": "insert", "parameters": {"type": "object"}}}
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "insert", "arguments": '{"content": "a"}'},
    }
    reply = Response(chat_completion(None, tool_calls=[call]))
    with StubServer(lambda _: reply) as server:
        (answer,) = make(server.url).complete([_chat("a", tools=(tool,))])
    assert server.seen[0].json["tools"] == [tool]
    assert json.loads(answer.text) == {
        "tool_calls": [{"function": {"name": "insert", "arguments": '{"content": "a"}'}}]
    }


def test_the_key_is_sent_and_nowhere_else(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    shout = Response(json.dumps({"error": {"message": f"key {SECRET} is slow"}}).encode(), 500)
    with StubServer(lambda _: shout) as server:
        endpoint = make(server.url, api_key_env="MY_KEY")
        (reply,) = endpoint.complete([_chat("a")])
    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"
    texts = (reply, endpoint.config, endpoint.model, vars(endpoint), pickle.dumps(endpoint))
    assert not any(SECRET in repr(one) for one in texts)
    assert "key [key] is slow" in reply.detail
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("finemem")]
    assert ours == [f"1 server error of 1 calls failed; the first: {reply.detail}"]
    assert SECRET not in caplog.text


def test_local_servers_need_no_key(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with StubServer(_echo) as server:
        assert make(server.url).complete([_chat("a")])[0].text == "said a"
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds no key"):
        Endpoint(EndpointConfig("gpt-4o-mini"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": f"http://me:{SECRET}@host/v1"}, "must not hold a user"),
        ({"base_url": f"http://host/v1?key={SECRET}"}, "must not hold a user"),
        ({"base_url": "localhost:8000/v1"}, "must be an address"),
        ({"base_url": "http://[::1"}, "must be an address"),
        ({"base_url": "http://host:port/v1"}, "must be an address"),
        ({"base_url": "http://host:99999/v1"}, "must be an address"),
        ({"base_url": "http://host :80/v1"}, "must be an address"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"deadline": float("nan")}, "deadline must be above 0"),
        ({"context_tokens": 1}, "context_tokens must be at least 64"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        EndpointConfig("m", **options)
    assert SECRET not in str(caught.value)


def test_works_inside_a_running_loop_and_after_pickling(make: Make) -> None:
    async def inside(endpoint: Endpoint) -> str:
        return endpoint.complete([_chat("a")])[0].text

    with StubServer(_echo) as server:
        endpoint = make(server.url)
        assert asyncio.run(inside(endpoint)) == "said a"
        copy = pickle.loads(pickle.dumps(endpoint))
        assert copy.complete([_chat("b")])[0].text == "said b"
        copy.close()
        endpoint.close()
        assert endpoint.complete([_chat("c")])[0].text == "said c"
    assert endpoint.complete([]) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_works_in_a_forked_process(make: Make) -> None:
    with StubServer(_echo) as server:
        endpoint = make(server.url)
        endpoint.complete([_chat("parent")])
        child = os.fork()
        if child == 0:
            good = endpoint.complete([_chat("child")])[0].text == "said child"
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert endpoint.complete([_chat("parent")])[0].text == "said parent"


def test_base_url_from_the_environment(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with StubServer(_echo) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert make(None).complete([_chat("a")])[0].text == "said a"


def test_counts_tokens_and_knows_its_context(make: Make) -> None:
    endpoint = make("http://127.0.0.1:9/v1", context_tokens=4096)
    assert endpoint.count_tokens("three little words") >= 3
    assert endpoint.context_tokens == 4096
    assert make("http://127.0.0.1:9/v1", thinking=True).model == (
        'stub {"chat_template_kwargs": {"enable_thinking": true}}'
    )


def test_an_interrupt_of_the_caller_stops_the_calls(make: Make) -> None:
    with StubServer(_echo, delay=0.3) as server:
        endpoint = make(server.url, concurrency=1, timeout=5.0)

        class _InterruptError(Exception):
            pass

        def interrupt() -> float:
            raise _InterruptError

        endpoint._transport.policy = RetryPolicy(draw=interrupt)
        server.answer = lambda _: Response(b"{}", 500)
        with pytest.raises(_InterruptError):
            endpoint.complete([_chat(str(i)) for i in range(50)])
        time.sleep(0.4)
        assert len(server.seen) <= 2

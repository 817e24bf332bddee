"""Model readers and judges by name and options, without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from finemem_env.backends import ChatRequest, Completion, Failure, Message, Sampling
from finemem_env.backends.cached import CachedBackend
from finemem_env.backends.disk_cache import DiskCache
from finemem_env.backends.policy import OPERATION_TOOLS, ModelPolicy
from finemem_env.backends.registry import BACKENDS, backend_options, make_backend
from finemem_env.errors import BackendError, ConfigError
from finemem_env.operations import parse
from finemem_env.prompts import INSTRUCTIONS
from finemem_env.readers import models
from finemem_env.readers.models import (
    ModelJudge,
    make_model_judge,
    make_model_reader,
    split_options,
)
from finemem_env.readers.prompted import PromptedReader
from finemem_env.session.grading import Grader
from finemem_env.types import Answer, Judge, JudgeRequest, Operation, Question, ReadRequest
from tests.backends.fakes import FakeBackend


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "opnai"}, "unknown backend 'opnai'. Did you mean 'openai'"),
        ({"name": "openai"}, "model is missing; it must be a text"),
        ({"name": "openai", "model": "m", "temprature": 1}, "Did you mean 'temperature'"),
        ({"name": "openai", "model": "m", "base_ulr": "x"}, "Did you mean 'base_url'"),
        ({"name": "openai", "model": "m", "api_key": "k"}, "Did you mean 'api_key_env'"),
        ({"name": "openai", "model": "m", "temperature": "hot"}, "temperature must be a number"),
        ({"name": "openai", "model": "m", "temperature": -1}, "temperature must be at least 0"),
        ({"name": "openai", "model": "m", "top_p": 0}, "top_p must be above 0"),
        ({"name": "openai", "model": "m", "max_tokens": 0}, "max_tokens must be at least 1"),
        ({"name": "transformers", "model": "m", "trust_remote_code": True}, "unknown option"),
        ({"name": "vllm", "model": "m", "memory": 2}, "memory must be above 0 and at most 1"),
    ],
)
def test_bad_options_are_one_clear_error(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_model_reader(config)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", BACKENDS)
def test_options_are_known_without_the_heavy_package(name: str) -> None:
    assert "model" in backend_options(name)


def test_options_are_split_between_reader_and_backend() -> None:
    options, rest = split_options(
        {"name": "openai", "model": "m", "temperature": 0.7, "concurrency": 4}
    )
    assert options.sampling == Sampling(0.7)
    assert rest == {"name": "openai", "model": "m", "concurrency": 4}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    backend = FakeBackend(lambda _: "Answer: yes\nUsed: none")
    monkeypatch.setattr(models, "make_backend", lambda config: backend)
    return backend


def test_cache_by_option_and_by_environment(
    fake: FakeBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config: dict[str, object] = {"name": "openai", "model": "m"}
    monkeypatch.delenv("FINEMEM_CACHE", raising=False)
    assert make_model_reader(config).backend is fake
    named = make_model_reader(config | {"cache": str(tmp_path / "a.sqlite")})
    assert isinstance(named.backend, CachedBackend)
    monkeypatch.setenv("FINEMEM_CACHE", str(tmp_path / "b.sqlite"))
    assert isinstance(make_model_reader(config).backend, CachedBackend)
    assert make_model_reader(config | {"cache": ""}).backend is fake
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.sqlite", "b.sqlite"]


def test_judge_takes_prompt_and_sampling_from_the_metric() -> None:
    backend = FakeBackend(
        lambda chat: Completion(failure=Failure.TIMEOUT) if "bad" in repr(chat) else "Yes."
    )
    judge = ModelJudge(backend, seed=1)
    assert isinstance(judge, Judge)
    assert judge.version == "fake judge"
    good, bad = judge.judge(
        [JudgeRequest("grade", "lme/1", max_tokens=10), JudgeRequest("bad", "lme/1")]
    )
    assert (good.text, good.failed, bad.text, bad.failed) == ("Yes.", False, "", True)
    assert backend.batches[0][0] == ChatRequest(
        (Message("user", "grade"),), Sampling(0.0, max_tokens=10, seed=1), prompt="lme/1"
    )


def test_judge_by_options(fake: FakeBackend) -> None:
    judge = make_model_judge({"name": "openai", "model": "m", "seed": 4, "cache": ""})
    assert (judge.backend, judge.seed) == (fake, 4)
    with pytest.raises(ConfigError, match="temperature is set by the metric"):
        make_model_judge({"name": "openai", "model": "m", "temperature": 0.5})


def test_policy_sends_instructions_once_and_the_observation() -> None:
    backend = FakeBackend(lambda _: '[{"op": "SKIP"}]')
    policy = ModelPolicy(backend)
    policy.reset({})
    assert policy.act("<chunk>", {"instructions": INSTRUCTIONS}) == '[{"op": "SKIP"}]'
    assert policy.act(f"{INSTRUCTIONS}\n\n<chunk>", {"instructions": INSTRUCTIONS})
    first, second = (batch[0] for batch in backend.batches)
    assert first == second
    assert [message.content for message in first.messages] == [INSTRUCTIONS, "<chunk>"]
    assert first.tools == ()


def test_policy_of_a_model_that_was_trained_without_instructions() -> None:
    backend = FakeBackend(lambda _: '[{"op": "SKIP"}]')
    ModelPolicy(backend, give_instructions=False).act("<chunk>", {"instructions": INSTRUCTIONS})
    assert [message.content for message in backend.batches[0][0].messages] == ["<chunk>"]


def test_policy_batches_and_offers_tools_that_the_grammar_reads() -> None:
    call = '{"tool_calls": [{"function": {"name": "%s", "arguments": %s}}]}'
    backend = FakeBackend(lambda chat: "[]")
    ModelPolicy(backend, tools=True).act_all(["a", "b"])
    (batch,) = backend.batches
    assert len(batch) == 2
    assert batch[0].tools == OPERATION_TOOLS
    for tool in OPERATION_TOOLS:
        function = tool["function"]
        assert isinstance(function, dict)
        arguments = {key: "1" for key in function["parameters"]["required"]}
        (parsed,) = parse(call % (function["name"], str(arguments).replace("'", '"')))
        assert isinstance(parsed, Operation)
        assert parsed.op == function["name"]


def test_policy_without_a_reply_raises_and_is_no_agent_mistake() -> None:
    backend = FakeBackend(lambda _: Completion(failure=Failure.CONNECTION, detail="gone"))
    with pytest.raises(BackendError, match="1 of 1 calls failed: no connection gone"):
        ModelPolicy(backend).act("x", {})


def test_backends_in_this_process_are_shared_while_they_live(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    from tests.backends.conftest import make_model

    make_model(tmp_path / "tiny")
    config = {"name": "transformers", "model": str(tmp_path / "tiny"), "device": "cpu"}
    first = make_backend(config)
    assert make_backend(dict(config)) is first
    assert make_backend(config | {"batch_tokens": 64}) is not first


SILENT = [
    "",
    " \n",
    "<think>yes, it is",
    "<think>yes</think>",
    "yes</think> ",
    Completion("Yes, since", cut=True),
    Completion("yes", cut=True),
    Completion(failure=Failure.SERVER),
]


@pytest.mark.parametrize("reply", SILENT)
@pytest.mark.parametrize("metric", ["judge", "mem-alpha/judge", "mab/judge"])
def test_a_judge_that_says_nothing_is_a_failed_call_in_every_dialect(
    reply: str | Completion, metric: str
) -> None:
    question = Question("q", "Where?", ("Osta",), metric=metric)
    grader = Grader()
    scoring = grader.score([Answer("In Osta")], [question])
    requests = next(scoring)
    judge = ModelJudge(FakeBackend(lambda _: reply))
    with pytest.raises(StopIteration) as stop:
        scoring.send(judge.judge([one for one in requests if isinstance(one, JudgeRequest)]))
    assert stop.value.value == [None]
    assert list(grader.take().values()) == [None]  # kept as a failed call, not as a verdict


def test_a_judge_that_thinks_and_then_speaks_is_heard() -> None:
    judge = ModelJudge(FakeBackend(lambda _: "<think>no?</think> Yes."))
    (answer,) = judge.judge([JudgeRequest("Is it?", "judge/1")])
    assert not answer.failed


@pytest.mark.parametrize("reply", ["", "\n", "<think>It is Osta", "<think>Osta</think>"])
def test_a_reader_that_says_nothing_failed_and_did_not_abstain(reply: str) -> None:
    reader = PromptedReader(FakeBackend(lambda _: Completion(reply, cut=True)))
    (answer,) = reader.answer([ReadRequest("Where?", ("Mara lives in Osta.",))])
    assert answer.failed
    (said,) = PromptedReader(FakeBackend(lambda _: "Answer:\nUsed: none")).answer(
        [ReadRequest("Where?", ())]
    )
    assert (said.text, said.failed) == ("", False)


@pytest.mark.parametrize("reply", ["Answer:", "**Answer:** ", "Used: 1", "<think>a</think>Answer:"])
def test_a_reader_that_was_cut_before_its_answer_did_not_abstain(reply: str) -> None:
    reader = PromptedReader(FakeBackend(lambda _: Completion(reply, cut=True)))
    (answer,) = reader.answer([ReadRequest("Where?", ("Mara lives in Osta.",))])
    assert answer.failed


def test_an_empty_reply_is_not_kept(tmp_path: Path) -> None:
    replies = iter(["", "In Osta"])
    backend = FakeBackend(lambda _: next(replies))
    cached = CachedBackend(backend, DiskCache(tmp_path / "cache.sqlite"))
    request = ChatRequest((Message("user", "Where?"),))
    assert [cached.complete([request])[0].text for _ in range(3)] == ["", "In Osta", "In Osta"]
    assert backend.calls == 2

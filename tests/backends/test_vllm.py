"""vLLM for real: reader, policy and weight updates, in this process and as a server.

Runs in an environment of its own (`tox run -e vllm`), with vLLM for the machine's accelerator or
the CPU build. The checks that need no vLLM run everywhere.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finemem_env.backends import Backend, ChatRequest, Message, Sampling
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.hf import load_tokenizer
from finemem_env.backends.logprobs import sequence_logprobs
from finemem_env.backends.policy import ModelPolicy
from finemem_env.backends.registry import make_backend
from finemem_env.backends.sampler import Sampler, WeightSync, largest_difference, save_weights
from finemem_env.backends.transport import Patience
from finemem_env.backends.vllm import VLLMConfig, load_engine
from finemem_env.backends.vllm_server import ServerSampler
from finemem_env.errors import BackendError, ConfigError
from finemem_env.readers.models import make_model_reader
from finemem_env.types import ReadRequest
from tests.backends.vllm_process import vllm_server

HAS_VLLM = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HAS_VLLM, reason="needs vLLM: tox run -e vllm")
QUIET = pytest.mark.filterwarnings("ignore")
PROMPTS = [[5, 6, 7], [8, 9], list(range(20, 60)), [5, 6, 7]]
SETTINGS = {"dtype": "float32", "context_tokens": 1024, "eager": True, "memory": 0.3}


def test_without_vllm_the_error_says_how_to_get_it_and_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"'\.\[vllm\]'.*\"transformers\".*\"openai\""):
        make_backend({"name": "vllm", "model": "m"})


def test_without_a_device_the_error_says_so_and_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platforms: Any = types.ModuleType("vllm.platforms")
    platforms.current_platform = types.SimpleNamespace(device_type="")
    package: Any = types.ModuleType("vllm")
    package.__version__ = "0.32.0"
    monkeypatch.setitem(sys.modules, "vllm", package)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    with pytest.raises(ConfigError, match=r"vLLM 0.32.0 finds no device .*\"transformers\""):
        load_engine(VLLMConfig("m"))


@pytest.mark.parametrize("options", [{"memory": 0.0}, {"memory": 1.5}, {"devices": 0}])
def test_bad_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        VLLMConfig("m", **options)


def _model(folder: Path) -> Any:  # noqa: ANN401
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()


def _shake(model: Any) -> None:  # noqa: ANN401
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)


@pytest.fixture(scope="module")
def backend(tiny_model: Path) -> Backend:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    return make_backend({"name": "vllm", "model": str(tiny_model), **SETTINGS})


@pytest.fixture
def engine(backend: Backend, tiny_model: Path) -> Iterator[Any]:
    """The in-process sampler; it gets its first weights back after each test."""
    assert isinstance(backend, GenerationBackend)
    yield backend.sampler
    backend.sampler.update(tiny_model)


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM server in development mode."""
    with vllm_server(tiny_model, tmp_path_factory.mktemp("vllm") / "server.log") as url:
        yield url


@pytest.fixture
def server_sampler(server: str, tiny_model: Path) -> Iterator[ServerSampler]:
    sampler = ServerSampler("tiny", server, context_tokens=1024, patience=Patience(8, 60.0, 120.0))
    yield sampler
    sampler.update(tiny_model)
    sampler.close()


@pytest.fixture(params=["in process", "server"])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    name = "engine" if request.param == "in process" else "server_sampler"
    found: Sampler = request.getfixturevalue(name)
    return found


@needs_vllm
@QUIET
@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
def test_logprobs_equal_transformers(
    sampler: Sampler, tiny_model: Path, temperature: float
) -> None:
    torch = pytest.importorskip("torch")
    model = _model(tiny_model)
    samples = sampler.sample(PROMPTS, Sampling(temperature, max_tokens=8, seed=3))
    for prompt, sample in zip(PROMPTS, samples, strict=True):
        assert sample is not None
        ids = torch.tensor([[*prompt, *sample.token_ids]])
        with torch.no_grad():
            logits = model(ids).logits[0, len(prompt) - 1 : -1] / (temperature or 1.0)
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(sample.token_ids)[:, None])[:, 0]
        assert torch.allclose(expected, torch.tensor(sample.logprobs), atol=1e-3)
    assert largest_difference(sampler.logprobs(PROMPTS), sequence_logprobs(model, PROMPTS)) < 1e-3


@needs_vllm
@QUIET
def test_a_seed_fixes_a_batch_whose_equal_prompts_still_differ(sampler: Sampler) -> None:
    first, second = (sampler.sample(PROMPTS, Sampling(1.0, max_tokens=8, seed=3)) for _ in range(2))
    assert first == second
    assert first[0] != first[3]


@needs_vllm
@QUIET
def test_new_weights_arrive_and_no_cached_prefix_of_the_old_ones_is_used(
    sampler: Sampler, tiny_model: Path, tmp_path: Path
) -> None:
    trainer = _model(tiny_model)
    greedy = Sampling(0.0, max_tokens=8)
    long = [list(range(20, 200))]
    before = sampler.sample(long, greedy)
    sync = WeightSync(sampler, tmp_path / "push", PROMPTS)
    for _ in range(2):
        _shake(trainer)
        assert sync.push(trainer) < 1e-3
    after = sampler.sample(long, greedy)
    assert after != before
    assert after[0] is not None
    sequence = [*long[0], *after[0].token_ids]
    expected = sequence_logprobs(trainer, [sequence])[0][-len(after[0].token_ids) :]
    assert max(abs(a - b) for a, b in zip(expected, after[0].logprobs, strict=True)) < 1e-3


@needs_vllm
@QUIET
def test_reader_and_policy_in_process(backend: Backend, tiny_model: Path) -> None:
    assert isinstance(backend, Backend)
    config = {"name": "vllm", "model": str(tiny_model), **SETTINGS, "max_tokens": 6}
    reader = make_model_reader(config | {"temperature": 0.0})
    assert reader.backend is backend  # one engine, however many readers
    items = tuple("the red key opens the cellar " * 20 for _ in range(20))
    answers = reader.answer([ReadRequest("What?", items), ReadRequest("Who?", ("Mara.",))])
    assert [answer.failed for answer in answers] == [False, False]
    assert answers[0].tokens <= 1024
    policy = ModelPolicy(backend, sampling=Sampling(1.0, max_tokens=8))
    assert len(policy.act_all(["chunk one", "chunk two"])) == 2


@needs_vllm
@QUIET
def test_reader_and_policy_on_a_server(server: str, tiny_model: Path) -> None:
    address = {"name": "openai", "model": "tiny", "base_url": server, "thinking": False}
    reader = make_model_reader(address | {"temperature": 0.0, "max_tokens": 6})
    requests = [ReadRequest(f"What is {i}?", (f"{i} is a number.",)) for i in range(32)]
    answers = reader.answer(requests)
    assert not any(answer.failed for answer in answers)
    long = ReadRequest("What?", tuple("the red key opens the cellar " * 20 for _ in range(30)))
    assert not reader.answer([long])[0].failed  # refused as too long, then asked with fewer items
    policy = ModelPolicy(make_backend(address), sampling=Sampling(0.0, max_tokens=8))
    assert len(policy.act_all(["chunk one", "chunk two"])) == 2
    in_process = make_model_reader(
        {"name": "transformers", "model": str(tiny_model), "device": "cpu", "temperature": 0.0}
        | {"max_tokens": 6}
    )
    # vLLM leaves out bytes at the end that make no character; transformers shows them as U+FFFD.
    found, expected = (
        [one.text.rstrip("\ufffd") for one in answered]
        for answered in (answers, in_process.answer(requests))
    )
    assert found == expected


@needs_vllm
@QUIET
def test_a_route_that_only_development_mode_has_is_named_when_it_is_missing(server: str) -> None:
    sampler = ServerSampler("tiny", server, patience=Patience(1, 5.0, 5.0))
    with pytest.raises(BackendError, match="VLLM_SERVER_DEV_MODE=1"):
        sampler._post("/no_such_route", {})
    sampler.close()


@needs_vllm
@QUIET
def test_chat_template_of_the_engine_is_the_models(backend: Backend) -> None:
    (reply,) = backend.complete(
        [ChatRequest((Message("user", "hello"),), Sampling(0.0, max_tokens=3))]
    )
    assert reply.failure is None
    assert 1 <= reply.completion_tokens <= 3


# The last ones: an engine that ends takes vLLM's process groups with it.


@needs_vllm
@QUIET
def test_tied_embeddings_reloaded_from_a_plain_folder_are_refused(
    tied_model: Path, tmp_path: Path
) -> None:
    from finemem_env.backends.vllm import VLLMSampler

    trainer = _model(tied_model)
    sampler = VLLMSampler(load_engine(VLLMConfig(str(tied_model), **SETTINGS)))  # type: ignore[arg-type]
    sync = WeightSync(sampler, tmp_path / "push", PROMPTS)
    assert sync.check(trainer) < 1e-3
    _shake(trainer)
    trainer.save_pretrained(tmp_path / "plain")
    sampler.update(tmp_path / "plain")
    with pytest.raises(BackendError, match=r"weight update refused: .*tied embeddings"):
        sync.check(trainer)
    assert sync.push(trainer) < 1e-3  # save_weights writes both tensors


@needs_vllm
@QUIET
def test_an_engine_built_from_an_untied_copy_takes_updates(
    tied_model: Path, tmp_path: Path
) -> None:
    from finemem_env.backends.vllm import VLLMSampler

    trainer = _model(tied_model)
    save_weights(trainer, tmp_path / "untied", load_tokenizer(str(tied_model)))
    config = VLLMConfig(str(tmp_path / "untied"), **SETTINGS)  # type: ignore[arg-type]
    sync = WeightSync(VLLMSampler(load_engine(config)), tmp_path / "push", PROMPTS)
    assert sync.check(trainer) < 1e-3
    _shake(trainer)
    assert sync.push(trainer) < 1e-3

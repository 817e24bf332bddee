"""The transformers sampler and backend on a tiny model, and weight updates."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from finemem_env.backends import Backend, ChatRequest, Failure, Message, Sampling
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.hf import HFConfig, HFSampler, load_backend
from finemem_env.backends.logprobs import sequence_logprobs
from finemem_env.backends.sampler import (
    PLAIN,
    Sample,
    SampleOptions,
    Sampler,
    TokenRows,
    WeightSync,
    largest_difference,
)
from finemem_env.backends.template import ChatTemplate
from finemem_env.errors import BackendError, ConfigError
from finemem_env.readers.prompted import PromptedReader
from finemem_env.types import ReadRequest
from tests.backends.conftest import make_model

torch = pytest.importorskip("torch", reason="needs the extra train")
transformers = pytest.importorskip("transformers", reason="needs the extra train")
sampling_module = pytest.importorskip("finemem_env.backends.local.sampling")


@pytest.fixture(scope="module")
def backend(tiny_model: Path) -> GenerationBackend:
    return load_backend(HFConfig(str(tiny_model), device="cpu"))


@pytest.fixture
def sampler(tiny_model: Path) -> HFSampler:
    made = load_backend(HFConfig(str(tiny_model), device="cpu")).sampler
    assert isinstance(made, HFSampler)
    return made


def _chat(text: str, **sampling: Any) -> ChatRequest:  # noqa: ANN401
    return ChatRequest((Message("system", "be brief"), Message("user", text)), Sampling(**sampling))


def _model(folder: Path) -> Any:  # noqa: ANN401
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def _shake(model: Any) -> None:  # noqa: ANN401
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)


PROMPTS = [[5, 6, 7], [8, 9], list(range(20, 60)), [5, 6, 7]]


def test_is_a_backend_with_exact_counts(backend: GenerationBackend) -> None:
    assert isinstance(backend, Backend)
    assert isinstance(backend.sampler, Sampler)
    assert backend.context_tokens == 1024
    reply = backend.complete([_chat("hello", max_tokens=5)])[0]
    assert reply.failure is None
    assert reply.prompt_tokens == len(backend.template.encode(_chat("hello")))
    assert reply.completion_tokens <= 5
    assert reply.cut == (reply.completion_tokens == 5)
    assert backend.count_tokens("hello hello") == len(
        backend.template.tokenizer("hello hello").input_ids
    )


def test_greedy_replies_do_not_depend_on_the_batch(backend: GenerationBackend) -> None:
    chats = [_chat("word " * i, temperature=0.0, max_tokens=4 + i % 2) for i in range(7)]
    together = backend.complete(chats)
    alone = [backend.complete([chat])[0] for chat in chats]
    assert together == alone


def test_prompt_too_long_for_the_context_is_a_failure_record(backend: GenerationBackend) -> None:
    replies = backend.complete([_chat("word " * 2000), _chat("fine", max_tokens=3)])
    assert [one.failure for one in replies] == [Failure.TOO_LONG, None]


def test_reader_fits_its_prompt_to_the_context(backend: GenerationBackend) -> None:
    items = tuple("the red key opens the cellar " * 30 for _ in range(20))
    answers = PromptedReader(backend).answer([ReadRequest("What?", items), ReadRequest("Who?", ())])
    assert [answer.failed for answer in answers] == [False, False]
    assert 500 < answers[0].tokens <= 1024


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
def test_logprobs_are_of_the_tokens_drawn_at_that_temperature(
    sampler: HFSampler, temperature: float
) -> None:
    samples = sampler.sample(PROMPTS, Sampling(temperature, max_tokens=8, seed=3))
    for prompt, sample in zip(PROMPTS, samples, strict=True):
        ids = torch.tensor([[*prompt, *sample.token_ids]])
        with torch.no_grad():
            logits = sampler.model(ids).logits[0, len(prompt) - 1 : -1] / (temperature or 1.0)
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(sample.token_ids)[:, None])[:, 0]
        assert torch.allclose(expected, torch.tensor(sample.logprobs), atol=1e-4)


def test_a_seed_fixes_a_batch_whose_equal_prompts_still_differ(sampler: HFSampler) -> None:
    state = torch.random.get_rng_state()
    first, second = (sampler.sample(PROMPTS, Sampling(1.0, max_tokens=8, seed=3)) for _ in range(2))
    assert first == second
    assert first[0] != first[3]
    assert torch.equal(state, torch.random.get_rng_state())
    assert first != sampler.sample(PROMPTS, Sampling(1.0, max_tokens=8, seed=4))


def test_replies_end_at_the_end_token_and_keep_it(sampler: HFSampler) -> None:
    samples = sampler.sample([[i] for i in range(64)], Sampling(1.0, max_tokens=40, seed=0))
    ended = [one for one in samples if one.finished]
    assert ended
    assert all(one.token_ids[-1] in sampler.ends for one in ended)
    assert all(len(one.logprobs) == len(one.token_ids) <= 40 for one in samples)
    assert all(len(one.token_ids) == 40 for one in samples if not one.finished)


def test_batches_keep_to_the_token_budget_and_cover_everything() -> None:
    lengths = [3, 50, 7, 90, 20, 20, 200]
    units = [sampling_module.Unit((number,), 0) for number in range(len(lengths))]
    batches = list(sampling_module._batches(units, [[1] * length for length in lengths], 10, 100))
    rows = [[i for unit in batch for i in unit.rows] for batch in batches]
    assert sorted(number for batch in rows for number in batch) == list(range(7))
    for batch in rows:
        assert len(batch) == 1 or len(batch) * (max(lengths[i] for i in batch) + 10) <= 100


def test_a_batch_that_does_not_fit_the_memory_is_halved(
    sampler: HFSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sampling_module._Job.run
    sizes: list[int] = []
    most = 1

    def tight(job: object, units: Sequence[Any]) -> Mapping[int, Sample]:
        rows = sum(len(unit.rows) for unit in units)
        sizes.append(rows)
        if rows > most:
            raise torch.OutOfMemoryError("full")
        return run(job, units)  # type: ignore[no-any-return]

    def full(job: object, units: object) -> None:
        raise torch.OutOfMemoryError("full")

    sampling = Sampling(1.0, max_tokens=2, seed=0)
    prompts = [[*range(10, 40), number] for number in range(4)]
    whole = sampler.sample(prompts, sampling, SampleOptions(groups=[0, 0, 0, 1]))
    monkeypatch.setattr(sampling_module._Job, "run", tight)
    monkeypatch.setattr(sampling_module.Continuous, "run", full)
    halved = sampler.sample(prompts, sampling, SampleOptions(groups=[0, 0, 0, 1]))
    assert [one.token_ids for one in halved] == [one.token_ids for one in whole]
    assert max(sizes) == 3
    assert sizes.count(1) == 4
    most = 0
    with pytest.raises(BackendError, match="does not fit the memory of cpu"):
        sampler.sample(prompts, sampling)


def test_sequence_logprobs_equal_the_models(sampler: HFSampler) -> None:
    sampler.model.train()
    (found,) = sequence_logprobs(sampler.model, [PROMPTS[2]])
    assert sampler.model.training
    ids = torch.tensor([PROMPTS[2]])
    with torch.no_grad():
        logits = sampler.model.eval()(ids).logits[0, :-1]
    expected = logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    assert torch.allclose(expected, torch.tensor(found), atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_weights_reach_the_sampler_and_are_checked(
    tiny_model: Path, tied_model: Path, tmp_path: Path, tied: bool
) -> None:
    folder = tied_model if tied else tiny_model
    trainer = _model(folder)
    sampler = HFSampler(_model(folder), transformers.AutoTokenizer.from_pretrained(folder))
    sync = WeightSync(sampler, tmp_path / "push", PROMPTS)
    for _ in range(2):
        _shake(trainer)
        assert (
            largest_difference(sampler.logprobs(PROMPTS), sequence_logprobs(trainer, PROMPTS)) > 0.1
        )
        assert sync.push(trainer) <= 1e-5
    assert trainer.config.tie_word_embeddings == tied
    # What was written is a plain folder that gives the same model, whatever was tied.
    again = _model(tmp_path / "push")
    assert again.config.tie_word_embeddings is False
    assert largest_difference(sequence_logprobs(again, PROMPTS), sampler.logprobs(PROMPTS)) <= 1e-5


class _Broken:
    """A sampler whose updates go wrong in a given way."""

    context_tokens = None

    def __init__(self, sampler: HFSampler, fault: str) -> None:
        self.inner = sampler
        self.fault = fault

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> list[Sample]:
        raise NotImplementedError

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        found = self.inner.logprobs(sequences)
        return [[math.nan] * len(row) for row in found] if self.fault == "nan" else found

    def update(self, folder: Path) -> None:
        if self.fault == "shuffled":
            self.inner.update(folder)
            _shake(self.inner.model)


@pytest.mark.parametrize("fault", ["ignored", "shuffled", "nan"])
def test_a_mismatch_is_refused(
    sampler: HFSampler, tiny_model: Path, tmp_path: Path, fault: str
) -> None:
    trainer = _model(tiny_model)
    _shake(trainer)
    sync = WeightSync(_Broken(sampler, fault), tmp_path / "push", PROMPTS)
    with pytest.raises(BackendError, match="weight update refused: log-probabilities of the probe"):
        sync.push(trainer)


def test_a_small_step_that_never_arrives_is_refused_too(
    sampler: HFSampler, tiny_model: Path, tmp_path: Path
) -> None:
    trainer = _model(tiny_model)
    sync = WeightSync(_Broken(sampler, "ignored"), tmp_path / "push", PROMPTS, tolerance=0.5)
    sync.push(trainer)
    with torch.no_grad():
        for weight in trainer.parameters():
            weight += 1e-3 * torch.randn_like(weight)
    with pytest.raises(BackendError, match="kept its old weights"):
        sync.push(trainer)


def test_foreign_weights_are_refused(sampler: HFSampler, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackendError, match="missing"):
        sampler.update(tmp_path / "empty")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"12345678")
    with pytest.raises(BackendError, match=r"weights in .*header"):
        sampler.update(tmp_path / "cut")
    with pytest.raises(BackendError, match="at least two tokens"):
        WeightSync(sampler, tmp_path, [[1]])
    assert largest_difference([[1.0]], [[1.0, 2.0]]) == math.inf


def test_template_passes_tools_where_it_knows_them(tiny_model: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    tool = {"type": "function", "function": {"name": "memory_insert", "parameters": {}}}
    chat = ChatRequest((Message("user", "hi"),), tools=(tool,))
    with_tools = ChatTemplate(tokenizer, {})
    assert with_tools.takes_tools
    assert "memory_insert" in with_tools.decode(with_tools.encode(chat))
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    plain = ChatTemplate(tokenizer, {})
    assert not plain.takes_tools
    assert plain.decode(plain.encode(chat)) == "hi"


def test_template_without_system_role_gets_it_in_front_of_the_user(tiny_model: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}({{ m.role }}){{ m.content }}{% endfor %}"
    )
    template = ChatTemplate(tokenizer, {})
    assert template.decode(template.encode(_chat("hi"))) == "(user)be brief\n\nhi"


@pytest.mark.parametrize(("thinking", "expected"), [(False, False), (True, True)])
def test_template_variables(tiny_model: Path, thinking: bool, expected: bool) -> None:
    config = HFConfig(str(tiny_model), thinking=thinking)
    template = ChatTemplate(
        transformers.AutoTokenizer.from_pretrained(tiny_model), config.template_variables
    )
    assert template.decode(template.encode(_chat("hi"))).endswith("<think>") == expected


def test_clear_errors(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*or a folder or hub id"):
        load_backend(HFConfig(str(tmp_path / "nowhere")))
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template"):
        load_backend(HFConfig(str(bare)))
    with pytest.raises(ConfigError, match="batch_tokens must be at least 1"):
        HFConfig("m", batch_tokens=0)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    make_model(folder)
    config = (folder / "config.json").read_text()
    config = config.replace('"qwen3"', '"other"').replace(
        "{", '{"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},', 1
    )
    (folder / "config.json").write_text(config)
    (folder / "evil.py").write_text("raise SystemExit('remote code ran')")
    with pytest.raises(ConfigError, match="without remote code"):
        load_backend(HFConfig(str(folder)))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

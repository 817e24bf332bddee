"""Rollouts drawn by an engine that holds a copy of the weights; vLLM's place is taken by one of
transformers here, and `test_vllm_training.py` runs the real one.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

import torch

from agents.assets import tiny_folder
from agents.grpo import main
from agents.learn import samplers
from agents.learn.checkpoint import latest
from agents.learn.distributed import World
from agents.learn.engines import Engines
from agents.learn.rollout import SKIP, RolloutSampling
from agents.learn.samplers import make_engines
from agents.model.policy import Policy, load_policy
from agents.runs.config import PRESETS, TrainConfig
from agents.runs.evaluation import evaluate_policy
from agents.settings import EngineOptions, ModelConfig, SamplingConfig, ServerOptions, check_sampler
from agents.trainer import Run
from finemem_env.backends import Sampling
from finemem_env.backends.hf import HFSampler, load_model, load_tokenizer
from finemem_env.backends.logprobs import sequence_logprobs
from finemem_env.backends.sampler import (
    PLAIN,
    Sample,
    SampleOptions,
    Sampler,
    TokenRows,
    largest_difference,
)
from finemem_env.errors import BackendError, ConfigError
from tests.agents.engine_server import EngineServer

# peft reads a property that transformers has renamed.
ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {
    **PRESETS["cpu"],
    "env_args": {**PRESETS["cpu"]["env_args"], "num_chunks": 1},
    "contexts": 1,
    "group_size": 3,
    "max_new_tokens": 40,
    "updates": 2,
    "lr": 1e-3,
    "warmup_updates": 0,
    "eval_every": 0,
    "eval_episodes": 1,
    "final_episodes": 0,
    "save_every": 1,
    "threads": 1,
    "sampler": "vllm",
}


class Engine:
    """Stands in for vLLM: a model of its own, which `fault` makes go wrong."""

    def __init__(self, folder: Path) -> None:
        name = str(folder)
        model = load_model(name, device="cpu", dtype="float32")
        self.inner = HFSampler(model, load_tokenizer(name))
        self.context_tokens: int | None = 400
        self.updates = 0
        self.fault = ""
        self.replies: list[Sample | None] = []  # in place of what it draws

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> list[Sample | None]:
        if self.replies:
            return self.replies
        if self.fault == "away":
            return [None] * len(prompts)
        told = SampleOptions(options.stop_ids)
        found: list[Sample | None] = [*self.inner.sample(prompts, sampling, told)]
        if self.fault == "raw":
            whole = [
                [*prompt, *one.token_ids]
                for prompt, one in zip(prompts, found, strict=True)
                if one is not None
            ]
            raw = [
                tuple(row[len(prompt) - 1 :])
                for prompt, row in zip(prompts, self.logprobs(whole), strict=True)
            ]
            return [
                Sample(one.token_ids, row, one.finished)
                for one, row in zip(found, raw, strict=True)
                if one is not None
            ]
        return [None, *found[1:]] if self.fault == "one away" else found

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        return self.inner.logprobs(sequences)

    def update(self, folder: Path) -> None:
        self.updates += 1
        if self.fault != "keeps its weights":
            self.inner.update(folder)


@pytest.fixture
def policy() -> Policy:
    return load_policy(TrainConfig(**PRESETS["cpu"]).model)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Every engine that a run makes in place of vLLM."""
    made: list[Engine] = []

    def load(folder: Path, *options: object, launched: bool) -> Sampler:
        made.append(Engine(folder))
        return made[-1]

    monkeypatch.setattr(samplers, "check", lambda: None)
    monkeypatch.setattr(samplers, "load", load)
    return made


def make(policy: Policy, folder: Path, temperature: float = 1.0) -> Engines:
    """The engines of a run as it begins."""
    found = engines_of(policy, folder, "vllm")
    assert found is not None
    found.refresh()
    found.compare_draws(temperature)
    return found


def engines_of(policy: Policy, folder: Path, sampler: str) -> Engines | None:
    return make_engines(policy, SamplingConfig(sampler=sampler), "float32", folder, World())


def shake(policy: Policy) -> None:
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("vlm", {}, r"Did you mean 'vllm'.*http://"),
        ("transformers", {"memory": 0.5}, "takes none"),
        ("vllm", {"memry": 0.5}, "Did you mean 'memory'"),
        ("vllm", {"tolerance": 0}, "tolerance must be above 0"),
        ("vllm", {"eager": "yes"}, "eager must be true or false"),
        ("vllm", {"memory": 5}, "memory must be above 0 and at most 1"),
        ("vllm", {"memory": float("nan")}, "memory must be above 0"),
        ("vllm", {"devices": 0}, "devices must be at least 1"),
        ("vllm", {"context_tokens": -3}, "context_tokens must be at least 64"),
        ("http://127.0.0.1:1/v1,http://127.0.0.1:1/v1/", {}, "expected every server once"),
        ("http://[::1", {}, "must be an address"),
        ("http://127.0.0.1:1/v1", {"devices": 2}, "unknown option"),
        ("http://127.0.0.1:1/v1", {"concurrency": 0}, "concurrency must be at least 1"),
        ("http://user:secret@127.0.0.1:1/v1", {}, "must not hold a user"),
        ("http://:secret@a/v1,http://:secret@a/v1", {}, "must not hold a user"),
        ("htp://user:secret@127.0.0.1:1/v1", {}, "begins with http://"),
        ("http://127.0.0.1:1/v1#secret", {}, "must not hold a user"),
        ("http://127.0.0.1:1/v1", {"api_key_env": "sk-secret"}, "must be the name of an env"),
        ("http://127.0.0.1:1/v1,http://127.0.0.1:1/v1", {}, "expected every server once"),
        ("http://127.0.0.1:1/v1,127.0.0.1:2/v1", {}, "must be an address"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_loaded(
    name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        TrainConfig(**{"sampler": name, "sampler_args": options})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("cls", [EngineOptions, ServerOptions])
def test_the_page_names_every_option_with_its_default(cls: type) -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    page = page[page.index("## Training with vLLM") : page.index("## Chunk questions")]
    for one in dataclasses.fields(cls):
        words: dict[object, str] = {None: "none", False: "false"}
        plain = words.get(one.default, str(one.default))
        shown = re.search(rf"`{one.name}` ?(?:\((.*?)\)|\| (.*?) \|)", page)
        assert shown, one.name
        value = shown[1] or shown[2]
        assert one.name == "api_key_env" or value.startswith(plain.removesuffix(".0"))


def test_the_default_is_the_trainers_own_model(policy: Policy, tmp_path: Path) -> None:
    assert check_sampler("transformers", {}) is None
    assert policy.sampler is policy.own
    assert engines_of(policy, tmp_path, "transformers") is None


def test_an_engine_gets_every_update_and_its_draws_are_the_trainers(
    policy: Policy, engines: list[Engine], tmp_path: Path
) -> None:
    sampler = make(policy, tmp_path / "sampler", 0.7)
    assert sampler.context_tokens == 400
    shake(policy)
    assert sampler.refresh()["train/sampler_difference"] < 1e-3
    prompts = policy.encode([("", f"Chunk {i}: Anna moved.") for i in range(3)])
    drawn = sampler.sample(prompts, Sampling(0.7, max_tokens=12, seed=1))
    for prompt, one in zip(prompts, drawn, strict=True):
        assert one is not None
        ids = torch.tensor([[*prompt, *one.token_ids]])
        with torch.no_grad():
            logits = policy.model(ids).logits[0, len(prompt) - 1 : -1] / 0.7
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(one.token_ids)[:, None])[:, 0]
        assert torch.allclose(expected, torch.tensor(one.logprobs), atol=1e-4)
        assert one.finished == (one.token_ids[-1] in policy.stop_ids)
    assert engines[0].updates == 2


def test_adapters_arrive_merged(engines: list[Engine], tmp_path: Path) -> None:
    model = TrainConfig(**PRESETS["cpu"]).model.model
    policy = load_policy(ModelConfig(model, device="cpu", lora_rank=2))
    sampler = make(policy, tmp_path / "sampler")
    shake(policy)
    assert sampler.refresh()["train/sampler_difference"] < 1e-3
    assert any("lora_" in name for name, _ in policy.model.named_parameters())


def test_log_probabilities_of_another_temperature_are_refused(
    policy: Policy, engines: list[Engine], tmp_path: Path
) -> None:
    sampler = make(policy, tmp_path / "sampler", 0.5)
    engines[0].fault = "raw"
    sampler.compare_draws(1.0)
    with pytest.raises(BackendError, match="--logprobs-mode processed_logprobs"):
        sampler.compare_draws(0.5)


def test_a_row_without_a_reply_is_none_and_a_batch_without_any_is_an_error(
    policy: Policy, engines: list[Engine], tmp_path: Path
) -> None:
    sampler = make(policy, tmp_path / "sampler")
    prompts = [(5, 6, 7), (5, 6)]
    engines[0].fault = "one away"
    first, second = sampler.sample(prompts, Sampling(1.0, max_tokens=4, seed=0))
    assert first is None
    assert second is not None
    engines[0].fault = "away"
    with pytest.raises(BackendError, match=r"none of 2 replies in time.*--resume"):
        sampler.sample(prompts, Sampling(1.0, max_tokens=4, seed=0))
    assert sampler.sample([], Sampling()) == []


@pytest.mark.parametrize(
    "reply",
    [
        Sample((), (), True),
        Sample((5, 5, 5, 5, 5), (-1.0,) * 5, False),
        Sample((9999, 5), (-1.0, -1.0), True),
        Sample((-3, 5), (-1.0, -1.0), True),
        Sample((5, 6), (-1.0, 2.0), True),
        Sample((5, 6), (-1.0,), True),
    ],
)
def test_a_reply_that_nothing_can_have_drawn_is_refused(
    policy: Policy, engines: list[Engine], tmp_path: Path, reply: Sample
) -> None:
    sampler = make(policy, tmp_path / "sampler")
    engines[0].replies = [reply, reply]
    with pytest.raises(BackendError, match=r"refused: expected 1 to 4 token ids below 3072"):
        sampler.sample([(5, 6, 7), (5, 6)], Sampling(1.0, max_tokens=4, seed=0))
    with pytest.raises(BackendError, match=r"refused"):
        sampler.compare_draws(1.0)
    engines[0].replies = [None, None]
    with pytest.raises(BackendError, match=r"answers the probe but draws no replies"):
        sampler.compare_draws(1.0)


class _Owing:
    """The policy's own model, which gives no reply to the first row of its first `times` calls."""

    context_tokens = None

    def __init__(self, policy: Policy, times: int) -> None:
        self.own, self.times = policy.own, times

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> list[Sample | None]:
        found: list[Sample | None] = [*self.own.sample(prompts, sampling, options)]
        self.times -= 1
        return [None, *found[1:]] if self.times >= 0 else found

    logprobs = update = None  # of no use to an evaluation


def evaluated(policy: Policy, tokens: int) -> list[list[str]]:
    """The replies of two short episodes, greedy."""
    env_args = {**PRESETS["cpu"]["env_args"], "num_chunks": 1}
    greedy = RolloutSampling(tokens, 0.0, instructions=False)
    played = evaluate_policy(
        policy, "FineMem-AR-v0", env_args, seeds=[3, 4], seed=0, sampling=greedy
    )
    return [[step.text for step in one.steps] for one in played]


def test_an_evaluation_does_not_count_a_reply_that_is_owed_as_silence(policy: Policy) -> None:
    texts = partial(evaluated, policy, 40)
    expected = texts()
    assert all(SKIP not in one for one in expected)
    policy.sampler = _Owing(policy, 1)  # type: ignore[assignment]
    assert texts() == expected
    policy.sampler = _Owing(policy, 99)  # type: ignore[assignment]
    with pytest.raises(BackendError, match=r"1 of 2 episodes lack replies.*--resume"):
        texts()


def test_what_cannot_be_played_by_several_processes_is_refused_at_once(tmp_path: Path) -> None:
    two = World(0, 2)
    with pytest.raises(ConfigError, match="contexts: expected at least one for each of 2"):
        Run.start(TrainConfig(**SMALL), tmp_path / "run", resume=False, world=two)
    parallel = SamplingConfig(sampler="vllm", sampler_args={"devices": 2})
    nothing: Any = None
    with pytest.raises(ConfigError, match="devices: expected 1 with 2 processes"):
        make_engines(nothing, parallel, "float32", tmp_path, two)
    assert list(tmp_path.iterdir()) == []


def test_without_vllm_the_error_names_the_alternatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    folder = tmp_path / "run"
    assert main(["--smoke", "--sampler", "vllm", "--output-dir", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "error: an engine in this process needs vllm, which is not installed." in said
    assert "--sampler transformers" in said
    assert not folder.exists()


def train(folder: Path, **changes: Any) -> Run:  # noqa: ANN401
    run = Run.start(TrainConfig(**SMALL | changes), folder, resume=False, world=World())
    run.train()
    return run


def test_training_hands_over_the_weights_after_every_update(
    engines: list[Engine], tmp_path: Path
) -> None:
    run = train(tmp_path / "run", optimizer_steps=2)
    (engine,) = engines
    assert engine.updates == 3  # at the start, and after each of two updates
    probe = [list(range(20, 60))]
    found = engine.logprobs(probe)
    assert largest_difference(found, sequence_logprobs(run.policy.model, probe)) < 1e-4
    fresh = load_policy(run.config.model)
    assert largest_difference(found, sequence_logprobs(fresh.model, probe)) > 1e-3
    text = (run.folder / "metrics.jsonl").read_text()
    assert text.count("train/sampler_difference") == 2


def test_a_resumed_run_hands_over_the_weights_of_its_checkpoint(
    engines: list[Engine], tmp_path: Path
) -> None:
    first = train(tmp_path / "run", updates=1)
    config = TrainConfig(**SMALL | {"sampler_args": {"tolerance": 0.01}})
    again = Run.start(config, tmp_path / "run", resume=True, world=World())
    probe = [list(range(20, 60))]
    assert engines[1].logprobs(probe) == engines[0].logprobs(probe)
    assert again.position.update == first.position.update == 1


def test_an_engine_that_keeps_its_weights_stops_the_run(
    engines: list[Engine], tmp_path: Path
) -> None:
    run = Run.start(TrainConfig(**SMALL), tmp_path / "run", resume=False, world=World())
    engines[0].fault = "keeps its weights"
    with pytest.raises(BackendError, match="weight update refused"):
        run.train()
    assert _kept(run) == (1, [0, 1])


def test_an_engine_that_goes_away_costs_no_update_that_was_done(
    engines: list[Engine], tmp_path: Path
) -> None:
    config = TrainConfig(**SMALL | {"save_every": 99})
    run = Run.start(config, tmp_path / "run", resume=False, world=World())
    with pytest.raises(BackendError, match="gave none of 3 replies"):
        run.train(lambda values: setattr(engines[0], "fault", "away"))
    assert _kept(run) == (1, [0, 1])


def _kept(run: Run) -> tuple[int, list[int]]:
    """The update of the last checkpoint, and those that were logged."""
    last = latest(run.folder / "checkpoints")
    assert last is not None
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return int(last.name), [json.loads(line)["update"] for line in lines]


# several servers


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[EngineServer, EngineServer]]:
    pytest.importorskip("openai", reason="needs the extra openai")
    with EngineServer(tiny_folder()) as first, EngineServer(tiny_folder()) as second:
        yield first, second


@pytest.fixture
def servers(
    pair: tuple[EngineServer, EngineServer], monkeypatch: pytest.MonkeyPatch
) -> tuple[EngineServer, EngineServer]:
    monkeypatch.setattr("finemem_env.backends.retry._FIRST_WAIT", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for server in pair:
        server.dead = server.raw = False
        server.seen.clear()
    return pair


def connected(policy: Policy, folder: Path, *servers: EngineServer) -> Engines:
    name = ",".join(one.url for one in servers)
    found = engines_of(policy, folder, name)
    assert found is not None
    found.refresh()
    return found


PROMPTS = [list(range(20, 40)), list(range(20, 40)), list(range(50, 60)), list(range(70, 75))]
GROUPS = [0, 0, 1, 1]


def draw(engines: Engines) -> list[tuple[int, ...] | None]:
    options = SampleOptions(groups=GROUPS, seeds=[5, 6, 7, 8])
    drawn = engines.sample(PROMPTS, Sampling(1.0, max_tokens=6, seed=0), options)
    return [None if one is None else one.token_ids for one in drawn]


def test_two_servers_draw_what_one_draws(
    policy: Policy, servers: tuple[EngineServer, EngineServer], tmp_path: Path
) -> None:
    alone = connected(policy, tmp_path / "one", servers[0])
    assert isinstance(alone, Sampler)
    both = connected(policy, tmp_path / "two", *servers)
    seen = [one.paths().count("draw") for one in servers]
    assert draw(both) == draw(alone)
    assert [one.paths().count("draw") for one in servers] == [seen[0] + 2 + 4, seen[1] + 2]
    assert len(set(draw(alone))) == 4  # rows of equal prompt have seeds of their own
    assert [
        len({one.json["kwargs"]["weights_path"] for one in server.seen if "rpc" in one.path})
        for server in servers
    ] == [2, 1]


def test_a_server_that_dies_costs_its_rows_is_named_and_comes_back(
    policy: Policy,
    servers: tuple[EngineServer, EngineServer],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engines = connected(policy, tmp_path / "sampler", *servers)
    before = draw(engines)
    servers[0].dead = True
    assert draw(engines) == [None, None, *before[2:]]
    assert f"{servers[0].url} is left out" in capsys.readouterr().err
    assert draw(engines) == before
    shake(policy)
    assert engines.refresh()["train/sampler_difference"] < 1e-3
    assert draw(engines) != before
    assert capsys.readouterr().err == ""
    servers[0].dead = False
    assert engines.settle() == frozenset()
    count = servers[0].paths().count("draw")
    engines.refresh()
    assert f"{servers[0].url} is back and has the present weights" in capsys.readouterr().err
    draw(engines)
    assert servers[0].paths().count("draw") == count + 2
    servers[0].dead = True  # and had all rows of this process
    sampling = Sampling(1.0, max_tokens=2)
    assert engines.sample(PROMPTS[:1], sampling, SampleOptions(seeds=[1])) == [None]
    servers[1].dead = True
    with pytest.raises(BackendError, match="none of 4 replies"):
        draw(engines)
    with pytest.raises(BackendError, match=f"none of these answers: {servers[0].url}, "):
        engines.refresh()


def test_an_evaluation_that_no_server_was_left_for_is_played_when_they_are_back(
    servers: tuple[EngineServer, EngineServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"max_new_tokens": 4, "group_size": 2, "references": False, "eval_every": 1}
    config = TrainConfig(**SMALL | given | {"sampler": ",".join(one.url for one in servers)})
    monkeypatch.setattr("agents.learn.engines.PROBE_REPLY", 2)
    run = Run.start(config, tmp_path, resume=False, world=World())

    def fall(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        for server in servers:
            server.dead = run.position.update == 1
        return evaluate_policy(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr("agents.trainer.evaluate_policy", fall)
        with pytest.raises(BackendError, match="none of these answers"):
            run.train()
    assert _kept(run) == (1, [0, 1])
    for server in servers:
        server.dead = False
    again = Run.start(config, tmp_path, resume=True, world=World())
    monkeypatch.setattr(again, "update", _stop)
    with pytest.raises(BackendError, match="update 1 begins"):
        again.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    told = [(one["update"], "rollout/score" in one, "eval/score" in one) for one in lines]
    assert told == [(0, False, True), (1, True, False), (1, False, True)]
    assert again.position.evaluated == 1


def _stop(number: int) -> dict[str, float]:
    raise BackendError(f"update {number} begins")


def test_what_a_server_drew_that_was_started_anew_is_dropped(
    policy: Policy,
    servers: tuple[EngineServer, EngineServer],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engines = connected(policy, tmp_path / "sampler", *servers)
    shake(policy)
    engines.refresh()
    assert engines.settle() == frozenset()
    servers[1].restart()
    options = SampleOptions(groups=GROUPS, seeds=[1, 2, 3, 4])
    drawn = engines.sample(PROMPTS, Sampling(1.0, max_tokens=2), options)
    assert [one and one.engine for one in drawn] == [0, 0, 1, 1]
    assert engines.settle() == frozenset({1})
    assert f"{servers[1].url} was started anew" in capsys.readouterr().err
    engines.refresh()
    assert engines.settle() == frozenset()


def test_an_evaluation_by_other_weights_is_played_again(
    policy: Policy,
    servers: tuple[EngineServer, EngineServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engines = connected(policy, tmp_path / "sampler", *servers)
    shake(policy)
    engines.refresh()
    policy.sampler = engines
    texts = partial(evaluated, policy, 8)
    expected = texts()
    servers[1].restart()
    assert texts() == expected
    assert f"{servers[1].url} was started anew" in capsys.readouterr().err
    servers[0].restart()
    with pytest.raises(BackendError, match=f"none of these answers: {servers[0].url}, "):
        texts()
    assert engines.settle() == frozenset()
    engines.refresh()
    assert texts() == expected
    assert capsys.readouterr().err.count("is back and has the present weights") == 2


@pytest.mark.parametrize("gone", [True, False])
def test_a_server_that_comes_back_with_other_options_is_left_out(
    policy: Policy,
    servers: tuple[EngineServer, EngineServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gone: bool,
) -> None:
    monkeypatch.setattr("agents.learn.engines.PROBE_REPLY", 4)
    engines = connected(policy, tmp_path / "sampler", *servers)
    engines.compare_draws(0.5)
    shake(policy)
    engines.refresh()
    servers[1].dead = gone
    draw(engines)
    servers[1].dead = False
    servers[1].restart()
    servers[1].raw = True
    assert engines.settle() == (frozenset() if gone else frozenset({1}))
    engines.refresh()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"warning: {servers[1].url} is left out")
    assert said.endswith("needs --logprobs-mode processed_logprobs.")
    count = servers[1].paths().count("draw")
    assert None not in draw(engines)
    servers[1].raw = False
    engines.refresh()
    assert "is back and has the present weights" in capsys.readouterr().err
    assert servers[1].paths().count("draw") == count + 2  # of the probe


def test_with_overlap_the_next_rollouts_are_drawn_while_an_update_is_computed(
    servers: tuple[EngineServer, EngineServer], tmp_path: Path
) -> None:
    server = servers[0]
    run = train(tmp_path / "run", sampler=server.url, overlap=1, entropy_coef=0.1)
    drawn, paths = [0], server.paths()
    for path in paths[paths.index("/collective_rpc") + 1 :]:
        if path == "/collective_rpc":
            drawn.append(0)
        drawn[-1] += path == "draw"
    probes, evaluation, rollouts = 2, 1, 3  # episodes of one chunk
    assert drawn == [probes + evaluation + 2 * rollouts, 0, evaluation]
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[1]["train/importance_raw_max"] < 1.001
    assert lines[2]["train/importance_raw_max"] > 1.001  # one step off-policy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"overlap": 1}, "overlap: needs vLLM servers"),
        ({"overlap": 2, "sampler": "http://127.0.0.1:1/v1"}, "overlap: expected"),
        (
            {"overlap": 1, "sampler": "http://127.0.0.1:1/v1", "importance_cap": None},
            "overlap: needs importance_cap",
        ),
    ],
)
def test_overlap_is_for_servers_and_corrected(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**changes)


class Pair(World):
    """The first of two processes; the other one said `said`."""

    said: Any = None

    def gather(self, value: Any) -> list[Any]:  # noqa: ANN401
        return [value, self.said]


def test_an_error_of_one_process_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pair, "said", "no server answers")
    with pytest.raises(BackendError, match="process 1: no server answers"), Pair(0, 2).agreed():
        pass
    with pytest.raises(ConfigError, match="mine"), Pair(0, 2).agreed():
        raise ConfigError("mine")
    monkeypatch.setattr(Pair, "said", None)
    with Pair(0, 2).agreed():
        pass

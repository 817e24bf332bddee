from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import pytest

from baselines.agents import AGENTS, CONFIGURED, make_agent
from baselines.managers.blocks import ExtractiveWriter, MemAgent
from baselines.managers.salience import salience, subject_relation
from baselines.runs.runner import run_episode
from finemem_env.backends import ChatRequest, Completion, Failure
from finemem_env.errors import ConfigError
from finemem_env.prompts import parse_observation, render_item
from finemem_env.prompts.observation import render_observation
from finemem_env.text import approx_tokens, normalise
from finemem_env.trace import Trace

NEW = ["rag", "long_context", "memagent_extractive", "mem1_extractive", "salience"]


def observation(chunk: str, items: Sequence[str] = (), budget: int | None = None) -> str:
    return render_observation(
        chunk=chunk,
        chunk_index=1,
        num_chunks=4,
        time=None,
        lines=[render_item(i, text) for i, text in enumerate(items)],
        memory_items=len(items),
        memory_tokens=sum(map(approx_tokens, items)),
        budget=budget,
    )


def act(name: str, text: str, **arguments: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    agent = make_agent(name, arguments)
    agent.reset({})
    found: list[dict[str, Any]] = json.loads(agent.act(text, {}))
    return found


def play(name: str, budget: float | str, env: str = "CR") -> tuple[float, Trace]:
    made: gym.Env[str, str] = gym.make(
        f"FineMem-{env}-v0", disable_env_checker=True, split="test", memory_budget=budget
    )
    total = 0.0
    for seed in range(3):
        result, trace = run_episode(made, name, make_agent(name), seed, seed, {})
        assert result.status == "ok", result.error
        assert not result.rejected, (name, result.rejected)
        total += result.score / 3
    assert trace is not None
    return total, trace


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("budget", [0.1, 0.4, "unlimited"])
def test_nothing_is_ever_rejected(name: str, budget: float | str) -> None:
    play(name, budget)


@pytest.mark.parametrize("name", NEW)
def test_a_larger_budget_never_hurts_much_and_all_of_it_helps(name: str) -> None:
    small, large = play(name, 0.1, "AR")[0], play(name, "unlimited", "AR")[0]
    assert large > small


def test_salience_beats_what_does_not_look() -> None:
    assert play("salience", 0.4, "AR")[0] > play("fifo", 0.4, "AR")[0] + 0.15
    assert play("salience", 0.4, "CR")[0] > play("fifo", 0.4, "CR")[0] + 0.1


def test_rag_keeps_a_sample_that_does_not_depend_on_when_a_passage_came() -> None:
    passages = [f"Passage number {i} tells of place {i * 7}." for i in range(12)]
    agent = make_agent("rag", {"passage_tokens": 8, "budget_tokens": 40})
    orders = (passages, passages[::-1])
    kept = []
    for order in orders:
        items: list[str] = []
        for passage in order:
            for one in json.loads(agent.act(observation(passage, items), {})):
                if one["op"] == "INSERT":
                    items.append(one["content"])
                if one["op"] == "DELETE":
                    items[int(one["id"])] = ""
            items = [text for text in items if text]
        kept.append(set(items))
    assert kept[0] == kept[1]
    assert sum(map(approx_tokens, kept[0])) <= 40


def test_long_context_drops_the_oldest_sentences() -> None:
    (update,) = act(
        "long_context", observation("Newer one. Newest one.", ["Oldest one.\nOld one."], budget=12)
    )
    assert update["op"] == "UPDATE"
    assert update["content"] == "Old one.\nNewer one.\nNewest one."
    (insert,) = act("long_context", observation("A b c. D e f."), context_tokens=5)
    assert insert["content"] == "D e f."


def test_memagent_rewrites_one_block_and_mem1_replaces_its_state() -> None:
    text = observation("Mara lives in Osta. It rained.", ["The gate of Rome is red."])
    (update,) = act("memagent_extractive", text)
    assert (update["op"], update["id"]) == ("UPDATE", "0")
    assert "Mara lives in Osta." in update["content"].split("\n")
    found = act("mem1_extractive", text, state_tokens=8)
    assert [one["op"] for one in found] == ["DELETE", "INSERT"]


def test_the_extractive_writer_keeps_order_and_size() -> None:
    lines = ExtractiveWriter().write(["Mara lives in Osta."], "So it went. Bela owns 3 boats.", 14)
    assert lines == ["Mara lives in Osta.", "Bela owns 3 boats."]


def test_salience_tells_statements_from_talk() -> None:
    assert salience("Mara Osta lives in Rome.") > salience("It rained all day long.")
    assert salience("Where does Mara Osta live?") == 0.0
    assert salience("He lives in Rome.") < salience("Mara lives in Rome.")
    assert salience("fine bread label: 7") == 1.0


def test_subject_and_relation() -> None:
    one = subject_relation("The author of Emma is Jane Austen.")
    assert one == subject_relation("12. The author of Emma is Mary Shelley.")
    assert one != subject_relation("The author of Lolita is Jane Austen.")
    assert subject_relation("Too short.") is None


def test_salience_updates_what_changed_and_drops_repetitions() -> None:
    held = ["The author of Emma is Jane Austen."]
    chunk = "The author of Emma is Mary Shelley. The author of Emma is Mary Shelley."
    (update,) = act("salience", observation(chunk, held))
    assert (update["op"], update["content"]) == ("UPDATE", "The author of Emma is Mary Shelley.")
    assert act("salience", observation(held[0], held)) == [{"op": "SKIP"}]


@pytest.mark.parametrize(
    "name", [name for name in CONFIGURED if name in ("llm", "memagent", "mem1")]
)
def test_agents_that_need_a_model_say_so(name: str) -> None:
    assert name not in AGENTS
    with pytest.raises(ConfigError, match="needs a backend"):
        make_agent(name)


class Scripted:
    model = "scripted"
    context_tokens = None

    def __init__(self, reply: Completion) -> None:
        self.reply = reply
        self.asked: list[ChatRequest] = []

    def count_tokens(self, text: str) -> int:
        return approx_tokens(text)

    def complete(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        self.asked += requests
        return [self.reply for _ in requests]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    made = Scripted(Completion("<think>hm</think>Mara lives in Osta. The gate is red."))
    monkeypatch.setattr("baselines.managers.blocks.make_backend", lambda config: made)
    monkeypatch.setattr("baselines.managers.llm.make_backend", lambda config: made)
    return made


def test_memagent_writes_what_the_model_says(backend: Scripted) -> None:
    text = observation("New text here.", ["Old note."], budget=30)
    (update,) = act("memagent", text, backend={"name": "x"})
    assert update["content"] == "Mara lives in Osta.\nThe gate is red."
    prompt = backend.asked[0].messages[0].content
    assert "Old note." in prompt
    assert "New text here." in prompt
    found = act("mem1", text, backend={"name": "x"})
    assert [one["op"] for one in found] == ["DELETE", "INSERT", "INSERT"]


def test_the_models_notes_are_cut_to_the_block(backend: Scripted) -> None:
    agent = MemAgent({"name": "x"}, block_tokens=6)
    (insert,) = json.loads(agent.act(observation("New."), {}))
    assert insert["content"] == "Mara lives in Osta."


def test_a_failed_call_raises_a_backend_error(backend: Scripted) -> None:
    from finemem_env.errors import BackendError

    backend.reply = Completion(failure=Failure.TIMEOUT)
    for name in ("memagent", "mem1", "llm"):
        with pytest.raises(BackendError):
            act(name, observation("New."), backend={"name": "x"})


@pytest.mark.parametrize("reply", ["", " \n", "<think>Mara lives in Osta.", "<think>hm</think>\n"])
def test_a_reply_that_says_nothing_does_not_empty_the_memory(backend: Scripted, reply: str) -> None:
    from finemem_env.errors import BackendError

    backend.reply = Completion(reply)
    for name in ("memagent", "mem1"):
        with pytest.raises(BackendError, match="empty or only reasoning"):
            act(name, observation("New.", ["Old note."]), backend={"name": "x"})


def test_llm_passes_the_models_text_on(backend: Scripted) -> None:
    backend.reply = Completion('[{"op": "SKIP"}]')
    assert act("llm", observation("New."), backend={"name": "x"}) == [{"op": "SKIP"}]


def test_helpers_see_what_the_environment_renders() -> None:
    view = parse_observation(observation("A.", ["B one.\nC two."]))
    assert normalise(view.items[0][1]) == "b one. c two."


@pytest.mark.parametrize("value", [0, -1, 2.5, float("nan"), "64", True])
@pytest.mark.parametrize(
    "name, key",
    [("rag", "passage_tokens"), ("rag", "budget_tokens"), ("long_context", "context_tokens")],
)
def test_sizes_are_whole_numbers_from_one(name: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}: {key}: expected an integer ≥ 1, got"):
        make_agent(name, {key: value})


@pytest.mark.parametrize("value", [-1, None, 1.5, "x"])
def test_the_seed_of_random_is_a_whole_number(value: object) -> None:
    with pytest.raises(ConfigError, match="random: seed: expected an integer ≥ 0, got"):
        make_agent("random", {"seed": value})
    make_agent("random", {"seed": 0})

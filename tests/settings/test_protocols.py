"""Protocols in one word: what each bundles, and episodes of the published sets run under them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from finemem_env import MemoryEnv
from finemem_env.data.registry import load_source
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.operations import render
from finemem_env.prompts import parse_observation
from finemem_env.prompts.observation import STORE_INSTRUCTIONS
from finemem_env.retrieval import BM25, make_retriever
from finemem_env.retrieval.retrievers import PublishedBM25, lower_words
from finemem_env.settings import PROTOCOLS, resolve
from finemem_env.settings.resolver import Publication
from finemem_env.text import split_sentences
from finemem_env.types import Op, Operation
from tests.data.parquet_files import mab_folder, mab_row, memalpha_folder, write_parquet


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_sets_the_same_keys(protocol: str) -> None:
    assert set(PROTOCOLS[protocol]) == set(PROTOCOLS["managed"])
    assert json.loads(json.dumps(resolve(protocol=protocol).as_dict()))["protocol"] == protocol


def test_mem_alpha_is_the_published_set_up() -> None:
    found = resolve(protocol="mem-alpha")
    assert (found.memory, found.memory_view, found.top_k) == ("hierarchical", "recent:5", 20)
    assert (found.max_observation_tokens, found.max_read_tokens) == (6144, 30_000)
    assert (found.memory_budget, found.answer_tokens, found.bm25) == (None, 2048, "okapi")
    assert found.reward.broadcast
    assert (found.reward.weights.compression, found.reward.weights.content) == (0.05, 0.1)
    assert found.publication == Publication("mem-alpha", "mem-alpha", True, "mem-alpha")


def test_memoryagentbench_is_the_published_set_up() -> None:
    found = resolve(protocol="memoryagentbench")
    assert (found.top_k, found.bm25) == (10, "okapi")
    assert found.retriever == {"name": "bm25", "tokens": "spaces", "fill": True}
    assert found.publication == Publication(
        "memoryagentbench", "memoryagentbench", False, "memoryagentbench"
    )


@pytest.mark.parametrize(
    "key, given, expected",
    [
        ("memory", "flat", "flat"),
        ("memory_view", "all", "all"),
        ("top_k", 2, 2),
        ("max_read_tokens", "unlimited", None),
        ("answer_tokens", 40, 40),
        ("bm25", "lucene", "lucene"),
        ("retriever", "bm25", {"name": "bm25"}),
        ("metric_dialect", "own", "own"),
        ("metric_dialect", "mem-alpha-case-bug", "mem-alpha-case-bug"),
        ("query_prefixes", "own", "own"),
        ("prefix_in_query", False, False),
        ("chunking", "own", "own"),
        ("max_observation_tokens", 100, 100),
        ("memory_budget", 0.4, 0.4),
        ("chunk_question_scope", "seen", "seen"),
    ],
)
def test_every_setting_can_be_overridden(key: str, given: Any, expected: Any) -> None:  # noqa: ANN401
    for protocol in ("mem-alpha", "memoryagentbench"):
        resolved = resolve(protocol=protocol, **{key: given})
        holder = resolved if hasattr(resolved, key) else resolved.publication
        assert getattr(holder, key) == expected


@pytest.mark.parametrize(
    "config, message",
    [
        ({"name": "bm25", "tokens": "word"}, "Did you mean 'words'"),
        ({"name": "bm25", "fill": 1}, "expected true or false"),
        ({"name": "bm25", "token": "words"}, "Did you mean 'tokens'"),
    ],
)
def test_bad_retriever_options(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_retriever(config, bm25="okapi")


def test_plain_options_make_the_plain_retriever() -> None:
    plain = make_retriever({"name": "bm25", "tokens": "words", "fill": False}, bm25="lucene")
    assert type(plain) is BM25


@pytest.mark.parametrize("tokens", ["lower", "spaces"])
def test_filled_search_is_the_published_order(tokens: str) -> None:
    okapi = pytest.importorskip("rank_bm25").BM25Okapi
    rng = random.Random(0)
    tokenize = lower_words if tokens == "lower" else str.split
    for size in (1, 2, 3, 40):
        texts = [" ".join(rng.choices("Ab aB c. d e f", k=rng.randint(1, 6))) for _ in range(size)]
        texts = [f"w{i} {text}" for i, text in enumerate(texts)]
        retriever = PublishedBM25("okapi", tokens, fill=True)
        retriever.update((), list(enumerate(texts)))
        reference = okapi([tokenize(text) for text in texts])
        for query in ("ab d", "AB c.", "zzz", "e e f"):
            scores = [round(float(score), 10) for score in reference.get_scores(tokenize(query))]
            best = sorted(range(size), key=lambda i: -scores[i])  # stable, as the publishers sort
            assert retriever.search(query, 20) == best[:20]
    assert retriever.search("", 5) == []


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = memalpha_folder(tmp_path_factory.mktemp("published"))
    mab_folder(root / "memoryagentbench")
    return root


def _play(env: gym.Env[str, str], seed: int = 0) -> dict[str, Any]:
    """Stores the sentences of every chunk as semantic items."""
    observation, info = env.reset(seed=seed)
    over = False
    while not over:
        sentences = split_sentences(parse_observation(observation).chunk or "")[:8]
        action = render([Operation(Op.INSERT, text) for text in sentences])
        observation, _, over, _, info = env.step(action)
    return info


def test_memalpha_in_one_word(published: Path) -> None:
    keywords: dict[str, Any] = {"source": "memalpha", "data_dir": str(published)}
    keywords["protocol"] = "mem-alpha"
    with pytest.raises(ConfigError, match=r"lme_train are graded by a judge.*'judged': False"):
        gym.make("FineMem-Mix-v0", **keywords)
    env = gym.make("FineMem-Mix-v0", **keywords, difficulty={"judged": False})
    seen = set()
    for seed in range(12):
        info = _play(env, seed)
        seen |= {answer["metric"] for answer in info["answers"]}
        assert info["versions"]["data"].startswith("local ")
        assert info["versions"]["prompt"] == "stores/1"
        assert info["instructions"] == env.unwrapped.instructions == STORE_INSTRUCTIONS  # type: ignore[attr-defined]
        assert len(info["step_rewards"]) == 3
    assert seen >= {"mem-alpha/contains", "mem-alpha/boxed_digits"}


def test_the_case_bug_is_an_option(published: Path) -> None:
    keywords: dict[str, Any] = {"source": "memalpha", "data_dir": str(published), "split": "test"}
    keywords |= {"protocol": "mem-alpha", "difficulty": {"data_source": "perltqa"}}
    for dialect, metric in (
        (None, "mem-alpha/keywords"),
        ("mem-alpha-case-bug", "mem-alpha/keywords_case_bug"),
    ):
        env = gym.make("FineMem-AR-v0", **keywords, metric_dialect=dialect)
        env.reset(seed=0)
        (question,) = env.unwrapped.session.finals  # type: ignore[attr-defined]
        assert question.metric == metric


@pytest.mark.parametrize("name", ["AR", "TTL", "LRU", "CR"])
def test_memoryagentbench_in_one_word(published: Path, name: str) -> None:
    env = gym.make(
        f"FineMem-{name}-v0",
        source="memoryagentbench",
        data_dir=str(published),
        split="test",
        protocol="memoryagentbench",
        metric_dialect="own" if name == "LRU" else None,
        difficulty={"judged": False},
    )
    info = _play(env)
    assert info["answers"]
    if name != "LRU":
        assert all(answer["metric"].startswith("mab/") for answer in info["answers"])


def test_published_answer_lengths_come_with_the_questions(published: Path) -> None:
    keywords: dict[str, Any] = {
        "source": "memoryagentbench",
        "data_dir": str(published),
        "split": "test",
        "protocol": "memoryagentbench",
        "difficulty": {"data_source": "icl_banking77_5900shot_balance"},
    }
    for given, expected in ((None, 20), (7, 7)):
        env = MemoryEnv(**keywords, answer_tokens=given)
        env.reset(seed=0)
        session = env.session
        while session.step_index < session.num_chunks - 1:
            assert session.advance("") == []
            session.settle([])
        requests = session.advance("")
        assert {request.answer_tokens for request in requests} == {expected}  # type: ignore[union-attr]
        assert all(request.query_prefix for request in requests)  # type: ignore[union-attr]


def test_the_local_reader_cannot_judge(published: Path) -> None:
    with pytest.raises(ConfigError, match="the local reader cannot grade"):
        gym.make("FineMem-AR-v0", judge="local")
    with pytest.raises(ConfigError, match="unknown backend 'gpt'"):
        gym.make("FineMem-AR-v0", judge="gpt")


def test_real_texts_in_the_published_schemas(data_dir: Path, tmp_path: Path) -> None:
    """Rows of the two schemas built from real data sets, played under both protocols."""
    squad = load_source("squad", SourceConfig("test", data_dir, chunking="mem-alpha")).episode(0)
    banking = load_source("banking77", SourceConfig("test", data_dir)).episode(0)
    row = {
        "instance_id": 0,
        "prompt": "",
        "chunks": json.dumps([chunk.text for chunk in squad.chunks]),
        "questions_and_answers": json.dumps(
            [{"question": one.question, "answer": one.answers[0]} for one in squad.questions]
        ),
        "data_source": "squad",
        "metadata": "{}",
        "num_chunks": len(squad.chunks),
        "num_questions": len(squad.questions),
    }
    write_parquet(tmp_path / "memalpha" / "test.parquet", [row])
    documents = "\n\n".join(
        f"Document {i}:\n{chunk.text.partition(chr(10))[2]}" for i, chunk in enumerate(squad.chunks)
    )
    shots = "\n\n".join(
        line.replace(" label: ", "\nlabel: ")
        for chunk in banking.chunks
        for line in chunk.text.splitlines()
    )
    asked = [(one.question, list(one.answers)) for one in squad.questions]
    labels = [(one.question, list(one.answers)) for one in banking.questions]
    folder = tmp_path / "memoryagentbench" / "data"
    rows = [mab_row("ruler_qa1_197K", documents, asked)]
    write_parquet(folder / "Accurate_Retrieval-00000-of-00001.parquet", rows)
    rows = [mab_row("icl_banking77_5900shot_balance", shots, labels)]
    write_parquet(folder / "Test_Time_Learning-00000-of-00001.parquet", rows)
    scores = {}
    for name, source, protocol in (
        ("squad", "memalpha", "mem-alpha"),
        ("ruler_qa1_197K", "memoryagentbench", "memoryagentbench"),
        ("icl_banking77_5900shot_balance", "memoryagentbench", "managed"),
    ):
        env = MemoryEnv(
            source=source,
            split="test",
            data_dir=tmp_path,
            protocol=protocol,
            memory_budget="unlimited",
            top_k=10,
            answer_tokens=40,
            difficulty={"data_source": name},
        )
        observation, info = env.reset(seed=0)
        over = False
        while not over:
            lines = split_sentences(parse_observation(observation).chunk or "")
            action = render([Operation(Op.INSERT, text) for text in lines[:64]])
            observation, _, over, _, info = env.step(action)
        scores[source, protocol] = info["reward_terms"]["global"]
    assert scores["memalpha", "mem-alpha"] > 0.4
    assert scores["memoryagentbench", "memoryagentbench"] > 0.3
    assert scores["memoryagentbench", "managed"] > 0.5

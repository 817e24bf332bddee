from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from finemem_env.errors import ConfigError
from finemem_env.retrieval import BM25, Retriever, bm25, copy_retriever, make_retriever
from finemem_env.text import TextCache, tie_key, words

VOCABULARY = ["the", "cat", "dog", "sat", "on", "mat", "Zürich", "東", "京", "x1", "ran", "…"]
contents = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)
queries = st.lists(st.sampled_from([*VOCABULARY, "unseen"]), max_size=6).map(" ".join)
edits = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "delete"]), contents, st.integers(0, 30)),
    max_size=60,
)


def edited(variant: str, changes: Sequence[tuple[str, str, int]]) -> tuple[BM25, dict[int, str]]:
    """An index after a history of edits, and the items that are left, in insertion order."""
    index, items, next_id = BM25(variant), dict[int, str](), 0
    for kind, content, pick in changes:
        target = list(items)[pick % len(items)] if items else -1
        if kind == "insert" or target < 0:
            index.update((), [(next_id, content)])
            items[next_id] = content
            next_id += 1
        else:
            old = (target, items.pop(target))
            new = [(target, content)] if kind == "update" else []
            index.update([old], new)
            items.update(new)
    return index, items


def assert_ranked(
    index: BM25, items: dict[int, str], query: str, expected: dict[int, float], gap: float
) -> None:
    """`search` returns exactly the items that share a term, in the order of `expected`."""
    order = index.search(query, len(items) + 1)
    shared = {key for key, text in items.items() if set(words(text)) & set(words(query))}
    assert set(order) == shared
    assert len(order) == len(shared)
    ranked = [expected[key] for key in order]
    assert all(a >= b - gap for a, b in itertools.pairwise(ranked))
    assert index.search(query, 2) == order[:2]


@settings(max_examples=80, deadline=None)
@given(edits, queries)
def test_okapi_equals_rank_bm25_after_any_edits(
    changes: list[tuple[str, str, int]], query: str
) -> None:
    index, items = edited("okapi", changes)
    if not any(words(text) for text in items.values()):
        assert index.search(query, 5) == []
        return
    reference = BM25Okapi([words(text) for text in items.values()])
    expected = dict(zip(items, reference.get_scores(words(query)), strict=True))
    scores = index.scores(query)
    assert list(scores) == list(items)
    assert scores == pytest.approx(expected, abs=1e-9)
    assert_ranked(index, items, query, expected, 1e-9)


@settings(max_examples=50, deadline=None)
@given(edits, queries)
def test_lucene_equals_bm25s_after_any_edits(
    changes: list[tuple[str, str, int]], query: str
) -> None:
    index, items = edited("lucene", changes)
    corpus = [words(text) for text in items.values()]
    shared = [term for term in words(query) if any(term in tokens for tokens in corpus)]
    if not shared:
        assert index.search(query, 5) == []
        return
    reference = bm25s.BM25(method="lucene")
    reference.index(corpus, show_progress=False)
    expected = dict(zip(items, reference.get_scores(shared).tolist(), strict=True))
    assert index.scores(query) == pytest.approx(expected, abs=1e-6)
    assert_ranked(index, items, query, expected, 1e-6)


def test_okapi_keeps_the_quirks_of_one_and_two_items() -> None:
    index = BM25("okapi")
    index.update((), [(0, "cat sat")])
    assert index.scores("cat")[0] == pytest.approx(
        BM25Okapi([["cat", "sat"]]).get_scores(["cat"])[0]
    )
    assert index.scores("cat")[0] < 0
    assert index.search("cat", 1) == [0]
    index.update((), [(1, "dog ran")])
    assert index.scores("cat") == {0: 0.0, 1: 0.0}
    assert index.search("cat", 2) == [0]


@pytest.mark.parametrize("variant", ["lucene", "okapi"])
def test_matches_a_fresh_index_on_a_large_memory(variant: str) -> None:
    rng = np.random.default_rng(7)
    vocabulary = [f"w{i}" for i in range(400)]
    texts = [" ".join(rng.choice(vocabulary, rng.integers(1, 60))) for _ in range(600)]
    index, fresh = BM25(variant), BM25(variant)
    index.update((), list(enumerate(texts)))
    kept = [(i, text) for i, text in enumerate(texts) if i % 3]
    for start in range(0, 600, 30):
        index.update([(i, texts[i]) for i in range(start, start + 30) if i % 3 == 0], ())
    fresh.update((), kept)
    for query in (" ".join(rng.choice(vocabulary, 8)) for _ in range(30)):
        assert index.scores(query) == pytest.approx(fresh.scores(query), abs=1e-12)
        assert index.search(query, 5) == fresh.search(query, 5)


@pytest.mark.parametrize("variant", ["lucene", "okapi"])
def test_empty_memories_and_texts_without_terms(variant: str) -> None:
    index = BM25(variant)
    assert index.search("cat", 3) == []
    assert index.scores("cat") == {}
    index.update((), [(4, "…"), (5, "!?")])
    assert index.search("cat", 3) == []
    assert index.search("", 3) == []
    assert index.scores("cat") == {4: 0.0, 5: 0.0}
    index.update((), [(6, "a cat")])
    assert index.search("cat", 0) == []
    assert index.search("cat", 3) == [6]


def test_ties_break_by_content_never_by_age_or_id() -> None:
    texts = [f"the capital of Norland is City{i}" for i in range(8)]
    query = "what is the capital of Norland"
    forwards, backwards = BM25(), BM25()
    forwards.update((), list(enumerate(texts)))
    backwards.update((), [(100 - i, text) for i, text in reversed(list(enumerate(texts)))])
    order = [texts[i] for i in forwards.search(query, 8)]
    assert order == [texts[100 - i] for i in backwards.search(query, 8)]
    assert order == sorted(texts, key=lambda text: tie_key(query, text))
    firsts = {forwards.search(f"{query} {'?' * n}", 1)[0] for n in range(40)}
    assert len(firsts) > 3


def test_ties_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from finemem_env.retrieval import BM25\n"
        "index = BM25(); index.update((), [(i, f'same word item{i}') for i in range(9)])\n"
        "print(index.search('same word', 9))"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(results) == 1


def test_a_run_of_chinese_is_not_one_token() -> None:
    index = BM25()
    index.update((), [(0, "他住在北京市"), (1, "她住在上海市"), (2, "Übergröße")])
    assert index.search("北京", 3) == [0]
    assert index.search("ÜBERGRÖSSE", 3) == [2]


def test_no_text_is_tokenised_twice() -> None:
    calls: list[str] = []

    def tokenize(text: str) -> list[str]:
        calls.append(text)
        return text.split()

    index = BM25("lucene", tokenize)
    for turn in range(60):
        index.update(
            [(turn - 1, f"a b {(turn - 1) % 7}")] if turn else [], [(turn, f"a b {turn % 7}")]
        )
        index.search("a 3", 2)
    assert len(calls) == len(set(calls)) == 8


def test_storing_tokenises_nothing_until_it_is_searched() -> None:
    calls: list[str] = []

    def tokenize(text: str) -> list[str]:
        calls.append(text)
        return text.split()

    index = BM25("okapi", tokenize)
    for number in range(20):
        index.update((), [(number, f"a b {number}")])
    assert calls == []
    assert index.search("7", 2) == [7]
    assert len(calls) == 21  # the items and the query


def test_lone_surrogates_are_indexed() -> None:
    index = BM25()
    index.update((), [(0, "cat \ud800 a"), (1, "cat \ud801 a")])
    assert sorted(index.search("cat \udfff", 2)) == [0, 1]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles_are_independent(clone: object) -> None:
    index, _ = edited("okapi", [("insert", "cat sat", 0), ("insert", "dog ran on", 0)])
    twin = clone(index)  # type: ignore[operator]
    assert twin.scores("cat ran") == index.scores("cat ran")
    twin.update([(0, "cat sat")], ())
    assert index.search("cat", 2) == [0]
    assert twin.search("cat", 2) == []


@pytest.mark.parametrize("variant", ["lucene", "okapi"])
def test_every_copy_finds_what_the_first_one_asked_finds(variant: str) -> None:
    index = BM25(variant)
    index.update((), [(n, f"cat word{n} ran{n % 3}") for n in range(9)])
    twin = copy.deepcopy(index)  # before anything was counted
    # In okapi a word of all items weighs what all words weigh on average.
    found = [one.scores("cat word3") for one in (index, twin, copy.deepcopy(twin))]
    assert found[0][3] > found[0][1] > 0
    assert found[1:] == found[:1] * 2


@settings(max_examples=50, deadline=None)
@given(edits, queries, st.sampled_from(["lucene", "okapi"]), st.integers(1, 9))
def test_few_postings_are_scored_as_many_are(
    changes: list[tuple[str, str, int]], query: str, variant: str, k: int
) -> None:
    index, items = edited(variant, changes)
    found = []
    for few in (10**9, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bm25, "_FEW", few)
            found.append(index.search(query, k))
            # Asked twice: what is kept of the first time is right the second time.
            assert index.search(query, k) == found[-1]
    assert found[0] == found[1]
    assert set(found[0]) <= items.keys()


@pytest.mark.parametrize("variant", ["lucene", "okapi"])
def test_copies_of_copies_go_their_own_ways(variant: str) -> None:
    """They share what they hold until one changes it; each stays what its own contents make."""
    texts = [f"{'cat dog' if n % 2 else 'dog'} word{n % 5} ran{n % 3}" for n in range(60)]
    holds: list[dict[int, str]] = [{0: texts[0]}]
    indices = [BM25(variant)]
    indices[0].update((), [(0, texts[0])])
    for turn in range(1, 60):
        which = turn * 7 % len(indices)
        if turn % 4 == 0:
            holds.append(dict(holds[which]))
            indices.append(copy.deepcopy(indices[which]))
        gone = [(n, holds[which].pop(n)) for n in list(holds[which])[: turn % 3]]
        holds[which][turn] = texts[turn]
        indices[which].update(gone, [(turn, texts[turn])])
        if turn % 4 < 3:  # several edits, and copies, between two questions
            continue
        for index, held in zip(indices, holds, strict=True):
            fresh = BM25(variant)
            fresh.update((), list(held.items()))
            assert index.scores("dog word3 ran1") == pytest.approx(fresh.scores("dog word3 ran1"))
            assert index.search("dog ran2", 3) == fresh.search("dog ran2", 3)


def test_text_cache_is_bounded_and_keeps_the_recent_half() -> None:
    calls: list[str] = []
    cache = TextCache[int](lambda text: calls.append(text) or len(text), max_chars=1000)  # type: ignore[func-returns-value]
    for i in range(100):
        assert cache[f"{i:036d}"] == 36
        assert cache[f"{i:036d}"] == 36
    assert len(calls) == 100
    assert len(cache) <= 10


def test_make_retriever_names_the_nearest_option() -> None:
    assert make_retriever({"name": "bm25"}, bm25="okapi").version == "bm25-okapi/2"
    assert isinstance(make_retriever({"name": "bm25"}, bm25="lucene"), Retriever)
    with pytest.raises(ConfigError, match=r"Did you mean 'bm25'\?"):
        make_retriever({"name": "bm52"}, bm25="lucene")
    with pytest.raises(ConfigError, match="unknown option of retriever 'bm25' 'modle'"):
        make_retriever({"name": "bm25", "modle": "x"}, bm25="lucene")
    with pytest.raises(ConfigError, match=r"Did you mean 'okapi'\?"):
        BM25("okapy")


class FakeEncoder:
    """Stands in for SentenceTransformer: counts letters, remembers its batches."""

    batches: list[list[str]] = []

    def __init__(self, model: str) -> None:
        self.model = model

    def encode(self, texts: list[str], **_: object) -> np.ndarray:
        self.batches.append(list(texts))
        rows = np.array([[text.count(c) for c in "abcdef"] for text in texts], np.float32)
        norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return np.asarray(rows / norms)


@pytest.fixture
def fake_encoder(monkeypatch: pytest.MonkeyPatch) -> type[FakeEncoder]:
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = FakeEncoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setattr(FakeEncoder, "batches", [])
    from finemem_env.retrieval import dense

    dense._load.cache_clear()
    return FakeEncoder


def test_dense_ranks_by_cosine_and_encodes_each_text_once(fake_encoder: type[FakeEncoder]) -> None:
    index = make_retriever({"name": "dense", "model": "letters"}, bm25="lucene")
    assert index.version == "dense/1:letters"
    index.update((), [(0, "aab"), (1, "bbc"), (2, "fff")])
    assert fake_encoder.batches == [["aab", "bbc", "fff"]]
    assert index.search("ab", 2) == [0, 1]
    assert index.search("ab", 9) == [0, 1, 2]
    index.update([(0, "aab")], [(3, "fff")])
    assert index.search("ab", 1) == [1]
    assert fake_encoder.batches[1:] == [["ab"]]
    assert pickle.loads(pickle.dumps(index)).search("ab", 1) == [1]
    assert index.search("ab", 0) == []


def test_a_copy_of_dense_goes_on_apart_and_encodes_nothing(
    fake_encoder: type[FakeEncoder],
) -> None:
    index = make_retriever({"name": "dense", "model": "letters"}, bm25="lucene")
    index.update((), [(0, "aab"), (1, "bbc")])
    index.search("ab", 1)
    done = len(fake_encoder.batches)
    index._vectors.clear()  # type: ignore[attr-defined]  # as a full cache drops old texts
    other = copy_retriever(index)
    assert len(fake_encoder.batches) == done
    other.update([(0, "aab")], ())
    assert index.search("aab", 2) == [0, 1]
    assert other.search("aab", 2) == [1]


def test_dense_without_model_or_extra_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from finemem_env.retrieval import dense

    dense._load.cache_clear()
    with pytest.raises(ConfigError, match='"model" expects "minilm-l6", or a folder or hub id'):
        make_retriever({"name": "dense"}, bm25="lucene")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[dense\]'"):
        make_retriever({"name": "dense", "model": "x"}, bm25="lucene")


@pytest.mark.filterwarnings("ignore")
def test_dense_with_the_real_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers")
    tokenizers = pytest.importorskip("tokenizers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    vocabulary = {
        word: i for i, word in enumerate(["[UNK]", "cat", "fish", "bird", "the", "in", "water"])
    }
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    embedding = StaticEmbedding(tokenizer, embedding_dim=32)
    SentenceTransformer(modules=[embedding], device="cpu").save(str(tmp_path))
    index = make_retriever({"name": "dense", "model": str(tmp_path)}, bm25="lucene")
    index.update((), [(1, "the cat"), (2, "the fish in water"), (3, "the bird")])
    assert index.search("fish water", 1) == [2]
    assert set(index.search("cat", 9)) == {1, 2, 3}
    with pytest.raises(ConfigError, match="cannot be loaded"):
        make_retriever({"name": "dense", "model": str(tmp_path / "none")}, bm25="lucene")

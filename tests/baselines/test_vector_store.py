"""The plain vector store against a loopback endpoint: what it sends, finds and drops."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from baselines.stores.plain import VectorStore
from finemem_env.errors import ConfigError
from tests.installed import needs

needs("openai", "the endpoint is called through openai")

WORDS = ("red", "key", "cellar", "mara", "osta", "gate", "code")
CALLS: list[dict[str, Any]] = []


class _Embeddings(BaseHTTPRequestHandler):
    """A vector of word counts for every text, in reverse order: the index says which is which."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        CALLS.append({**asked, "path": self.path, "key": self.headers["authorization"]})
        rows = [
            {
                "object": "embedding",
                "index": i,
                "embedding": [float(text.casefold().count(word)) for word in WORDS],
            }
            for i, text in enumerate(asked["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        reply = {"object": "list", "model": "counts", "data": rows[::-1], "usage": usage}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorStore]:
    CALLS.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORE_KEY", "k-1")
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    made = VectorStore(
        {"name": "openai", "model": "counts", "base_url": url, "api_key_env": "STORE_KEY"},
        passage_tokens=8,
    )
    yield made
    made.close()
    server.shutdown()
    server.server_close()


def test_the_most_similar_passages_come_first_and_each_text_is_embedded_once(
    store: VectorStore,
) -> None:
    store.add(
        "The red key opens the cellar. Mara lives in Osta. The code of the gate is 4711.", None
    )
    keys = dict(store.items())
    assert list(keys.values()) == [
        "The red key opens the cellar.",
        "Mara lives in Osta.",
        "The code of the gate is 4711.",
    ]
    assert store.search("Where does Mara live?", 2)[0] == "1"
    assert store.search("What is the code of the gate?", 1) == ["2"]
    store.search("What is the code of the gate?", 1)
    sent = [text for call in CALLS for text in call["input"]]
    assert len(sent) == len(set(sent)) == 5
    assert {call["path"] for call in CALLS} == {"/v1/embeddings"}
    assert {call["model"] for call in CALLS} == {"counts"}
    assert {call["key"] for call in CALLS} == {"Bearer k-1"}


def test_what_is_refused_is_never_found_again(store: VectorStore) -> None:
    store.add("The red key opens the cellar. Mara lives in Osta.", None)
    store.forget(["1"])
    assert store.search("Where does Mara live?", 5) == ["0"]
    assert [key for key, _ in store.items()] == ["0"]


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (None, "embeddings expects"),
        ({"name": "opnai", "model": "x"}, "Did you mean 'openai'"),
        ({"name": "openai", "model": "x", "colour": 1}, "colour"),
    ],
)
def test_other_embeddings_are_one_clear_error(
    embeddings: dict[str, object] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        VectorStore(embeddings)

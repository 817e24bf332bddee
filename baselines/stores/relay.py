"""Model and embeddings for a memory system that is a server of its own.

Such a server calls its model itself, where nothing counts. It is given an address on loopback
instead: what it asks there is asked through the client and the embedder that every system has, so
that its calls are counted, its outages remembered, and embeddings of this process are there for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from baselines.stores.clients import Client
from baselines.stores.embedders import Embedder

Reply = tuple[int, bytes]


class Relay:
    """Chat completions and embeddings on a port of loopback, until it is closed.

    Args:
        client: of the model.
        embedder: of the embeddings, whatever model is asked for.
    """

    def __init__(self, client: Client, embedder: Embedder) -> None:
        self._client = client
        self._embedder = embedder
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its `base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, body: Any) -> Reply:  # noqa: ANN401
        try:
            return 200, self._embed(body) if path.endswith("/embeddings") else self._chat(body)
        except Exception as error:
            said = {"error": {"message": f"{type(error).__name__}: {error}"}}
            return getattr(error, "status_code", 502), json.dumps(said).encode()

    def _chat(self, body: Any) -> bytes:  # noqa: ANN401
        raw = self._client.openai.chat.completions.with_raw_response.create(
            model=body.pop("model"), messages=body.pop("messages"), extra_body=body
        )
        content: bytes = raw.http_response.content
        return content

    def _embed(self, body: Any) -> bytes:  # noqa: ANN401
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [
            {"object": "embedding", "index": i, "embedding": row}
            for i, row in enumerate(self._embedder.embed(texts).tolist())
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        reply = {"object": "list", "model": "given", "data": data, "usage": usage}
        return json.dumps(reply).encode()


def _handler(answer: Callable[[str, Any], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """What is asked is the ledger's, not the terminal's."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, reply = answer(self.path, json.loads(body))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply)))
            self.send_header("x-should-retry", "false")  # to `openai`: it was asked again already
            self.end_headers()
            self.wfile.write(reply)

    return Handler

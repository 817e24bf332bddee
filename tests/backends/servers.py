"""Servers on loopback: a scripted OpenAI-compatible one, and a proxy that injects faults."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

__all__ = ["FaultProxy", "Response", "Seen", "ServerBase", "StubServer", "chat_completion"]


@dataclass
class Response:
    """What a server sends: `drip` seconds between bytes, `claimed` a false content length."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    drip: float = 0.0
    claimed: int | None = None
    hang: bool = False
    reset: bool = False


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


def chat_completion(text: str | None, model: str = "stub", **message: object) -> bytes:
    choice = {"role": "assistant", "content": text, **message}
    return json.dumps(
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": choice}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
        }
    ).encode()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of these tests."""


class ServerBase:
    """A threaded HTTP server whose `respond` decides; `in_flight_peak` is what it held at once."""

    def __init__(self, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._in_flight = 0
        self.in_flight_peak = 0
        self._server = _HTTPServer(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def respond(self, seen: Seen) -> Response:
        raise NotImplementedError

    def handle(self, seen: Seen) -> Response:
        with self._lock:
            self.seen.append(seen)
            self._in_flight += 1
            self.in_flight_peak = max(self.in_flight_peak, self._in_flight)
        try:
            return self.respond(seen)
        finally:
            with self._lock:
                self._in_flight -= 1

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _handler(owner: ServerBase) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {key.lower(): value for key, value in self.headers.items()}
            seen = Seen(self.command, self.path, headers, self.rfile.read(length))
            self._send(owner.handle(seen))

        do_GET = do_POST = _serve  # noqa: N815

        def _send(self, response: Response) -> None:
            if response.hang:
                owner.stopping.wait(30)
            if response.hang or response.reset:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(response.status)
            for key, value in response.headers.items():
                self.send_header(key, value)
            self.send_header("content-length", str(response.claimed or len(response.body)))
            self.end_headers()
            self.close_connection = response.claimed is not None
            step = 1 if response.drip else max(1, len(response.body))
            for place in range(0, len(response.body), step):
                self.wfile.write(response.body[place : place + step])
                self.wfile.flush()
                if response.drip and owner.stopping.wait(response.drip):
                    return

    return Handler


class StubServer(ServerBase):
    """Speaks chat completions; `answer` maps the request's JSON to a text or a `Response`."""

    def __init__(
        self, answer: Callable[[Any], str | Response], port: int = 0, delay: float = 0.0
    ) -> None:
        self.answer = answer
        self.delay = delay
        super().__init__(port)

    def respond(self, seen: Seen) -> Response:
        if seen.path.endswith("/models"):
            return Response(json.dumps({"object": "list", "data": [{"id": "stub"}]}).encode())
        time.sleep(self.delay)
        reply = self.answer(seen.json)
        return reply if isinstance(reply, Response) else Response(chat_completion(reply))


class FaultProxy(ServerBase):
    """Forwards to `target`; a fault that waits in `faults` is served instead, None is none."""

    FAULTS: dict[str, Response] = {
        "timeout": Response(b"", hang=True),
        "rate_limit": Response(b'{"error":{"message":"slow down"}}', 429, {"retry-after": "0.3"}),
        "rate_limit_bare": Response(b"slow down", 429, {"content-type": "text/plain"}),
        "server_error": Response(b'{"error":{"message":"boom"}}', 500),
        "bad_gateway": Response(b"<html>bad gateway</html>", 502, {"content-type": "text/html"}),
        "truncated_json": Response(chat_completion("Answer: wrong")[:120]),
        "truncated_body": Response(chat_completion("Answer: wrong")[:120], claimed=400),
        "not_json": Response(b"<html>ok</html>", headers={"content-type": "text/html"}),
        "not_utf8": Response(b'{"choices": "\xff\xfe"}'),
        "empty_choices": Response(
            chat_completion("x").replace(b'"choices": [', b'"choices": [], "rest": [')
        ),
        "null_choices": Response(b'{"id": "x", "choices": null}'),
        "error_with_200": Response(b'{"error": {"message": "overloaded"}}'),
        "slow_stream": Response(chat_completion("Answer: wrong"), drip=0.05),
        "reset": Response(b"", reset=True),
    }

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.faults: deque[str | None] = deque()
        super().__init__()

    def respond(self, seen: Seen) -> Response:
        with self._lock:
            fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            return self.FAULTS[fault]
        connection = http.client.HTTPConnection(str(self.target.hostname), self.target.port)
        try:
            connection.request(seen.method, seen.path, seen.body, self._headers(seen))
            reply = connection.getresponse()
            kind = reply.headers.get("content-type", "application/json")
            return Response(reply.read(), reply.status, {"content-type": kind})
        except OSError:
            return Response(b"no upstream", 502, {"content-type": "text/plain"})
        finally:
            connection.close()

    def _headers(self, seen: Seen) -> dict[str, str]:
        kept = ("content-type", "authorization", "accept")
        return {key: value for key, value in seen.headers.items() if key in kept}

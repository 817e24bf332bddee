"""A page that follows a run: a server on this machine alone, which reads the traces anew."""

from __future__ import annotations

import http.server
from collections.abc import Callable

from finemem_env.errors import FineMemError

_HOSTS = ("127.0.0.1", "localhost")


def make_server(
    make_page: Callable[[], str],
    make_data: Callable[[], str],
    state: Callable[[], str],
    port: int = 0,
) -> http.server.ThreadingHTTPServer:
    """A server bound to 127.0.0.1: "/" is the page, "/data" what it is made of.

    Args:
        make_page: the page as it is now.
        make_data: its data as they are now.
        state: changes when they do; the data are made only for who has not seen them.
        port: 0 takes a free one.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer; a request for another host name comes from a stranger's page."""
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            makers = {"/": (make_page, "text/html"), "/data": (make_data, "application/json")}
            if host not in _HOSTS or self.path not in makers:
                self.send_error(404)
                return
            make, kind = makers[self.path]
            try:
                tag = f'"{state()}"'
                if self.path == "/data" and self.headers.get("If-None-Match") == tag:
                    self.send_response(304)
                    self.end_headers()
                    return
                body = make().encode("utf-8")
            except FineMemError as error:  # the run is being moved or written anew
                self.send_error(503, explain=str(error))
                return
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("ETag", tag)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: the page asks every few seconds."""

    return http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)

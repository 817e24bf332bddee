"""`python -m finemem_env view RUN_OR_TRACE`: look at a run in the browser.

Writes one page that needs no network and opens it: questions against chunks, the memory above, the
rewards below; click a step or a question. --serve follows a run that goes on. What the run names
is not imported or opened. docs/inspect.md explains the page.
"""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from finemem_env.cli.frame import program, saving
from finemem_env.cli.options import add_choice, at_least, positive
from finemem_env.disk import check_output, write_whole
from finemem_env.inspect import Choice, RecordedTraces
from finemem_env.view import Collection, collect, data_json, make_server, page

_MOST = 24


def main(arguments: Sequence[str]) -> int:
    """Write the page, or serve it."""
    parser = program("finemem_env view", __doc__)
    add = parser.add_argument
    add("run", type=Path, metavar="RUN_OR_TRACE", help="folder of a run, or a file of traces")
    add_choice(parser)
    add("--most", type=positive, default=_MOST, metavar="N", help="episodes on the page")
    add("--output", type=Path, metavar="FILE", help="(default: view.html in or beside the run)")
    add("--no-open", action="store_true", help="do not open a browser")
    add("--serve", action="store_true", help="follow the run: its newest episodes, until Ctrl-C")
    add("--port", type=at_least(0), default=0, help="of --serve; 0 takes a free one")
    options = parser.parse_args(arguments)
    if options.output is not None:
        check_output(options.output, options.run)
    choice = Choice(options.agent, options.task, options.budget, options.episode)
    gather = partial(collect, options.run, choice, options.most, newest=options.serve)
    if options.serve:
        return _serve(options.run, gather, options.port, opens=not options.no_open)
    collection = gather()
    run: Path = options.run
    beside = run / "view.html" if run.is_dir() else run.with_name(f"{run.stem}.html")
    out: Path = options.output or beside
    with saving(out, f"{out} is not written."):
        write_whole(out, page(options.run.name, collection))
    if collection.note:
        print(collection.note)
    print(f"written to {out}")
    if not options.no_open:
        webbrowser.open(out.resolve().as_uri())
    return 0


def _serve(run: Path, gather: partial[Collection], port: int, *, opens: bool) -> int:
    gather()  # refuses a path without traces
    title = run.name
    server = make_server(
        lambda: page(title, gather(), follow=True),
        lambda: data_json(title, gather(), follow=True),
        RecordedTraces(run).state,
        port,
    )
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    print(f"serving {address} until Ctrl-C", flush=True)
    if opens:
        webbrowser.open(address)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0

"""Traces as one page for a browser: `python -m finemem_env view RUN_OR_TRACE`.

`record` turns a trace and its findings into plain data, `document` puts data, style and script into
one file that needs no network, `serve` keeps such a page up to date while a run goes on.
"""

from finemem_env.view.collection import Collection, collect
from finemem_env.view.document import data_json, page
from finemem_env.view.serve import make_server

__all__ = ["Collection", "collect", "data_json", "make_server", "page"]

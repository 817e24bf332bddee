"""The page: one HTML file with its style, script and data, which asks no network for anything.

Its content security policy names the hashes of the style and the script, so nothing else in it can
run, whatever the data say; the data are JSON without "<", and the script writes them as text only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources

from finemem_env.console import UNSEEN
from finemem_env.view.collection import Collection
from finemem_env.view.record import PARTS

_SCRIPTS = ("text.js", "draw.js", "details.js", "state.js", "panels.js", "main.js")


def page(title: str, collection: Collection, *, follow: bool = False) -> str:
    """The page as text.

    Args:
        title: of the page.
        collection: the episodes.
        follow: whether it asks the server that it comes from for newer episodes.
    """
    style, script = _asset("view.css"), _script()
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "img-src data:; media-src data:"
    ) + ("; connect-src 'self'" if follow else "")
    parts = {
        "POLICY": policy,
        "STYLE": style,
        "SCRIPT": script,
        "DATA": data_json(title, collection, follow=follow),
    }
    # Split before anything is put in: no text can bring a place of its own.
    pieces = _asset("view.html").split("@@")
    return "".join(parts[piece] if n % 2 else piece for n, piece in enumerate(pieces))


def data_json(title: str, collection: Collection, *, follow: bool = False) -> str:
    """The data of a page, safe inside a script element."""
    frame = {"title": title, "note": collection.note, "parts": PARTS, "follow": follow}
    head = json.dumps(frame)[:-1]
    text = f'{head}, "episodes": [{",".join(collection.episodes)}]}}'
    return text.replace("<", "\\u003c")


@cache
def _asset(name: str) -> str:
    path = resources.files("finemem_env.view") / "assets" / name
    return path.read_text(encoding="utf-8")


@cache
def _script() -> str:
    unseen = "".join(f"\\u{{{first:x}}}-\\u{{{last:x}}}" for first, last in UNSEEN)
    return "\n".join(['"use strict";', f"const UNSEEN = /[{unseen}]/gu;", *map(_asset, _SCRIPTS)])


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

"""The pages of the site that are made from the code, and links that leave the folder.

mkdocs.yml names this file as its hook. Nothing here needs MkDocs but the last two functions.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from pathlib import Path
from typing import Any

from finemem_env.locate import ENVIRONMENTS, load_module

__all__ = ["api_page", "environment_page", "generated", "on_files", "on_page_markdown", "relinked"]

ROOT = Path(__file__).resolve().parents[1]
# Files beside the folder that are pages of the site too.
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "locks/README.md": "locks.md",
    "README.md": "index.md",
}
# Title of a group of the API, and the modules whose `__all__` it shows.
API = {
    "The environments": ("finemem_env",),
    "Errors": ("finemem_env.errors",),
    "Rewards": ("finemem_env.rewards",),
    "Scoring": ("finemem_env.scoring",),
    "Sources": ("finemem_env.data.source",),
    "Retrievers": ("finemem_env.retrieval",),
    "Operations": ("finemem_env.operations",),
    "Pictures and sounds": ("finemem_env.media",),
    "Wrappers": ("finemem_env.wrappers",),
    "Integrations": ("finemem_env.integrations",),
    "Traces": ("finemem_env.trace",),
    "Checks for your own parts": ("finemem_env.testing",),
    "Agents of the benchmark": ("baselines.agents",),
    "Training": ("agents.learn.advantages", "agents.learn.loss", "agents.trainer"),
}
_SECTION = re.compile(r"^([A-Z][A-Za-z ]+):$", re.MULTILINE)
_DOCS_FILE = re.compile(r"docs/([\w-]+\.md)")


def environment_page(env_id: str) -> str:
    """The page of an id: the docstring of its class, its sections as headings."""
    module, name = ENVIRONMENTS[env_id]
    text = inspect.cleandoc(getattr(load_module(module), name).__doc__)
    head, *sections = _SECTION.split(text)
    parts = [f"# {env_id}", head.strip(), _example(env_id)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        parts.append(f"## {title}\n\n{_body(title, body)}")
    text = "\n\n".join(parts) + "\n"
    return _DOCS_FILE.sub(r"[\1](../\1)", text)


def _example(env_id: str) -> str:
    return (
        "```python\nimport gymnasium as gym\nimport finemem_env\n\n"
        f'env = gym.make("{env_id}")\nobservation, info = env.reset(seed=0)\n'
        'observation, reward, over, _, info = env.step(\'[{"op": "SKIP"}]\')\n```'
    )


def _body(title: str, body: str) -> str:
    lines = inspect.cleandoc(body)
    if title == "Arguments":
        first, _, rest = lines.partition("\nAll other")
        return f"- {' '.join(first.split())}\n\nAll other{rest}"
    return "- " + lines if title == "Version History" else lines


def api_page() -> str:
    """The reference: every public name of the modules that users import."""
    parts = ["# API", "What `from MODULE import NAME` gives you; every docstring as it stands."]
    for title, modules in API.items():
        parts.append(f"## {title}")
        parts += [
            f"::: {module}\n    options:\n      members_order: alphabetical" for module in modules
        ]
    return "\n\n".join(parts) + "\n"


def generated() -> dict[str, str]:
    """Every page that is no file of this folder: its place there, and its text."""
    pages = {f"environments/{env_id}.md": environment_page(env_id) for env_id in ENVIRONMENTS}
    pages["api.md"] = api_page()
    for name, page in OUTSIDE.items():
        if page != "index.md":
            pages[page] = relinked((ROOT / name).read_text("utf-8"), name)
    return pages


def relinked(text: str, path: str) -> str:
    """`text` of the file `path` of the repository, with the links that its page in the site needs.

    Files that are no page of the site are named, not linked.
    """
    page = OUTSIDE.get(path, path.removeprefix("docs/"))

    def link(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target:
            return match[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        other = OUTSIDE.get(there, there.removeprefix("docs/"))
        if there == other or not (ROOT / there).is_file():
            return label
        return f"[{label}]({posixpath.relpath(other, posixpath.dirname(page) or '.')}{anchor})"

    return re.sub(r"\[([^\]\[]+)\]\(([^)#\s]+)(#[^)\s]*)?\)", link, text)


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401
    """Add the generated pages (a hook of MkDocs)."""
    from mkdocs.structure.files import File

    for place, text in generated().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:  # noqa: ANN401
    """Lead links out of this folder to the pages that stand for them (a hook of MkDocs)."""
    place = page.file.src_uri
    return relinked(markdown, f"docs/{place}") if (ROOT / "docs" / place).is_file() else markdown

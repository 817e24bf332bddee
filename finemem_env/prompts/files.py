"""The prompts of model readers, judges and the chunk-question pipeline: one file per version.

`NAME.vN.txt` holds sections, each headed by a line `=== section ===`. A released file never
changes: another wording is another version, since it gives other answers and other scores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template

from finemem_env.errors import ConfigError, nearest

_SECTION = re.compile(r"^=== (\w+) ===\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A prompt: `version` such as "read/1", and its sections by name."""

    version: str
    sections: dict[str, str]

    def fill(self, section: str, **values: str) -> str:
        """The text of a section with every $name replaced; values are taken as they are."""
        return Template(self.sections[section]).substitute(values)


def prompt_names() -> tuple[str, ...]:
    """Every prompt and version there is, such as "read/1"."""
    files = (file.name for file in (resources.files("finemem_env.prompts") / "texts").iterdir())
    matches = (re.fullmatch(r"(\w+)\.v(\d+)\.txt", name) for name in files)
    return tuple(sorted(f"{match[1]}/{match[2]}" for match in matches if match))


@cache
def load_prompt(version: str) -> PromptFile:
    """The prompt called `version`, such as "read/1".

    Raises:
        ConfigError: there is no such prompt.
    """
    if version not in prompt_names():
        raise ConfigError(nearest("prompt", version, prompt_names()))
    name, _, number = version.partition("/")
    text = (resources.files("finemem_env.prompts") / "texts" / f"{name}.v{number}.txt").read_text(
        encoding="utf-8"
    )
    parts = _SECTION.split(text)[1:]
    sections = {key: body.strip() for key, body in zip(parts[::2], parts[1::2], strict=True)}
    return PromptFile(version, sections)

"""docs/models.md says what the code does: options, defaults, commands, costs, the example."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finemem_env.backends import registry
from finemem_env.backends.endpoint import EndpointConfig
from finemem_env.backends.hf import HFConfig
from finemem_env.backends.vllm import VLLMConfig
from finemem_env.cli.cost_model import PUBLISHED, costs
from finemem_env.readers.models import ReaderOptions, split_options
from finemem_env.settings import resolve
from tests.backends.fakes import FakeBackend

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def _row(name: str) -> list[str]:
    """The cells of the table row whose first cell names the option `name`."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and f"`{name}`" in cells[0]:
            return cells
    raise AssertionError(f"docs/models.md has no row for {name}")


@pytest.mark.parametrize("cls", [EndpointConfig, ReaderOptions])
def test_every_option_has_a_row_with_its_default(cls: type) -> None:
    for field in dataclasses.fields(cls):
        names, defaults, *_ = _row(field.name)
        place = re.findall(r"`(\w+)`", names).index(field.name)
        default = [part.strip(" `") for part in defaults.split(",")]
        if isinstance(field.default, str):
            assert default[place] == field.default
        elif isinstance(field.default, int | float):
            assert default[place] == f"{field.default:g}"


@pytest.mark.parametrize("cls", [HFConfig, VLLMConfig])
def test_options_of_models_in_this_process_are_named(cls: type) -> None:
    line = PAGE[PAGE.index("Of `transformers`:") : PAGE.index("## What happens when")]
    for field in dataclasses.fields(cls):
        assert f"`{field.name}`" in line, field.name


def test_configs_on_the_page_are_accepted() -> None:
    blocks = "\n".join(re.findall(r"```(?:bash|python)\n(.*?)```", PAGE, re.DOTALL))
    found = re.findall(r"\{\"name\": \"(?:openai|transformers|vllm)\"[^{}]*\}", blocks)
    assert len(found) >= 5
    for text in found:
        plain = " ".join(text.split()).replace("True", "true").replace("False", "false")
        options, rest = split_options(json.loads(plain))
        assert options.max_prompt_tokens == 30_000
        assert rest["model"]


def test_the_first_reader_of_the_page_is_made_without_a_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("openai", reason="the reader needs the extra openai")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/models.md", "exec"), names)
    assert names["env"].unwrapped.factory.settings.as_dict()["protocol"] == "fine-mem"


def test_what_the_page_imports_and_calls_of_a_server_is_there() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    names: dict[str, Any] = {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.ImportFrom):
            exec(compile(ast.Module([node], []), "docs/models.md", "exec"), names)
    assert callable(names["ServerSampler"].connect)
    assert callable(names["WeightSync"].push)


def test_costs_on_the_page_are_those_of_the_command() -> None:
    calls = costs(PUBLISHED, resolve(protocol="fine-mem", question_fraction=0.2), 256)
    for one in calls:
        million = [f"{tokens / 1e6:.1f}M" for tokens in (one.prompt_tokens, one.reply_tokens)]
        assert f"| {one.kind} | {one.calls:,.0f} | {' | '.join(million)} |" in PAGE
    total = sum(one.calls for one in calls)
    assert f"| one step | {total:,.0f} |" in PAGE
    everything = costs(PUBLISHED, resolve(protocol="fine-mem"), 100)
    assert f"{sum(one.calls for one in everything):,.0f} calls" in PAGE


def test_the_application_example_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(chat: Any) -> str:  # noqa: ANN401
        found = re.search(r"<chunk[^>]*>\n(.*)\n</chunk>", chat.messages[-1].content)
        assert found is not None
        return json.dumps([{"op": "INSERT", "content": found[1]}])

    monkeypatch.setattr(registry, "make_backend", lambda config: FakeBackend(reply))
    monkeypatch.chdir(tmp_path)
    section = PAGE[PAGE.index("## In an application") :]
    code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
    assert len(code.splitlines()) <= 15
    exec(compile(code, "docs/models.md", "exec"), {})
    assert capsys.readouterr().out == "1 My sister Mara moved to Osta in May.\n"
    assert (tmp_path / "memory.json").exists()


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, finemem_env, finemem_env.readers.models, finemem_env.backends.hf\n"
        "import finemem_env.backends.vllm, finemem_env.backends.endpoint\n"
        "import finemem_env.cli.chunk_qa, finemem_env.cli.cost, finemem_env.backends.policy\n"
        "heavy = {'torch', 'transformers', 'openai', 'vllm', 'datasets', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""What a forge reads is true: workflows, templates and pages name commands that exist."""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

yaml: Any = pytest.importorskip("yaml", reason="comes with transformers, extra train")

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
YAML = [
    ROOT / ".pre-commit-config.yaml",
    *WORKFLOWS,
    *sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")),
]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "locks").glob("*.md")),
    ROOT / ".ci" / "run",
    ROOT / ".pre-commit-config.yaml",
]
TOX = configparser.ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini", encoding="utf-8")


def _expanded(pattern: str) -> Iterator[str]:
    """The names that tox makes of a section such as `py3{11,12}` or `{wheel,sdist}`."""
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ("".join(one) for one in itertools.product(*choices))


ENVS = {
    name
    for section in TOX.sections()
    if section.startswith("testenv:") and not section.startswith("testenv:.")
    for name in _expanded(section.removeprefix("testenv:"))
}


def _load(path: Path) -> Any:  # noqa: ANN401
    return yaml.safe_load(path.read_text("utf-8"))


def _triggers(workflow: dict[Any, Any]) -> dict[str, Any]:
    triggers: dict[str, Any] = workflow[True]  # YAML 1.1 reads the key `on` so
    return triggers


def _commands(workflow: dict[Any, Any]) -> list[str]:
    """What the steps run, once for every combination of their job's matrix."""
    found = []
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        lists = {key: values for key, values in matrix.items() if key != "include"}
        rows = [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]
        for row in matrix.get("include", rows):
            for step in job["steps"]:
                text = step.get("run", "")
                for key, value in row.items():
                    text = text.replace(f"${{{{ matrix.{key} }}}}", str(value))
                found.append(text)
    return found


def _tox_envs(text: str) -> list[str]:
    """Every NAME of `tox … -e NAME`."""
    lists = re.findall(r"\btox (?:run|exec)[^\n`&|]*? -e[ =]([^\s`;)]+)", text)
    return [name for names in lists for name in names.split(",")]


def test_sections_of_tox_are_expanded() -> None:
    assert list(_expanded("py3{11,12}")) == ["py311", "py312"]
    assert {"tests", "wheel", "oldest"} <= ENVS


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_every_yaml_file_parses(path: Path) -> None:
    assert isinstance(_load(path), dict)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_page_names_environments_that_tox_has(path: Path) -> None:
    assert set(_tox_envs(path.read_text("utf-8"))) <= ENVS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_workflow_names_environments_that_tox_has(path: Path) -> None:
    commands = "\n".join(_commands(_load(path)))
    assert "${{" not in commands
    assert set(_tox_envs(commands)) <= ENVS


def test_pages_and_workflows_do_name_some() -> None:
    pages = [name for path in PAGES for name in _tox_envs(path.read_text("utf-8"))]
    steps = [name for path in WORKFLOWS for name in _tox_envs("\n".join(_commands(_load(path))))]
    assert {"demo", "vllm", "lock", "newest"} <= set(pages)
    assert {"docs", "oldest", "py312", "py313", "py314", "newest"} == set(steps)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_ask_for_little_and_pin_what_they_use(path: Path) -> None:
    workflow = _load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 90
        own = job.get("permissions", {})
        assert own == ({"id-token": "write"} if name == "publish" else {})
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w./-]+@(v\d+|release/v\d+)", step["uses"])


def test_the_readmes_test_command_is_what_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    (command,) = (one.strip() for one in blocks if "tox run-parallel" in one)
    assert command in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    for name in ("test.yml", "release.yml"):
        steps = [one.strip() for one in _commands(_load(ROOT / ".github" / "workflows" / name))]
        assert command in steps, name


def test_workflows_start_when_they_should() -> None:
    found = {path.stem: _triggers(_load(path)) for path in WORKFLOWS}
    assert set(found) == {"docs", "newest", "release", "test"}
    assert set(found["test"]) == set(found["docs"]) == {"push", "pull_request"}
    assert set(found["newest"]) == {"schedule", "workflow_dispatch"}
    assert found["release"] == {"push": {"tags": ["v*"]}}


def test_a_release_is_built_checked_and_tested_before_it_is_published() -> None:
    jobs = _load(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    assert jobs["publish"]["environment"] == "pypi"
    built = [step.get("run") for step in jobs["build"]["steps"]]
    page = (ROOT / "docs" / "releasing.md").read_text("utf-8")
    for command in ("python -m build", "twine check --strict dist/*"):
        assert command in built
        assert command in page


def test_local_hooks_are_commands_of_tox() -> None:
    hooks = {
        hook["id"]: hook
        for repo in _load(ROOT / ".pre-commit-config.yaml")["repos"]
        if repo["repo"] == "local"
        for hook in repo["hooks"]
    }
    assert set(hooks) == {"ruff-check", "ruff-format", "mypy", "lint-imports"}
    commands = TOX["testenv:tests"]["commands"].splitlines()
    linters = [line for line in commands if line and not line.startswith("pytest")]
    entries = [hook["entry"] for hook in hooks.values() if hook["id"] != "mypy"]
    assert entries == [f".tox/tests/bin/{line}" for line in linters]
    assert hooks["mypy"]["entry"] == ".tox/tests/bin/mypy"  # which tests/test_types.py runs
    assert not any(hook["pass_filenames"] for hook in hooks.values())


def test_templates_name_files_that_exist() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / ".github").rglob("*.*")]
    named = {name for text in texts for name in re.findall(r"\b[A-Z]+\.md\b", text)}
    assert named >= {"CHANGELOG.md", "SECURITY.md"}
    for name in named:
        assert (ROOT / name).is_file(), name

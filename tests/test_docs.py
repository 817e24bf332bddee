"""The pages: links lead somewhere, Python runs and prints what is shown, commands can be typed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import gymnasium as gym
import pytest

from benchmarks import structure
from docs.site import API, OUTSIDE, environment_page, generated, relinked
from finemem_env.data.registry import SOURCES
from finemem_env.locate import ENVIRONMENTS
from finemem_env.settings.table import SETTINGS, SOURCE_KEYWORDS
from tests.documents import PAGES, check_command, commands, run_python

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Pages whose Python other tests run: they need a server, a registry of their own, or files.
ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "docs/data.md": "below: it needs the publishers' files",
    "docs/extending.md": "tests/test_extension.py",
    "docs/models.md": "tests/backends/test_models_page.py",
    "docs/own-data.md": "tests/data/test_own_data.py",
    "docs/rewards.md": "tests/rewards/test_rewards.py",
}


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    made = generated()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists() or target in made, target


def test_the_page_of_data_names_keywords_and_sources_that_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    monkeypatch.setattr(gym, "make", lambda env_id, **keywords: calls.append((env_id, keywords)))
    assert list(run_python(PAGES["docs/data.md"], "docs/data.md")) == []
    assert len(calls) == 7
    known = {*SETTINGS, *SOURCE_KEYWORDS}
    for env_id, keywords in calls:
        assert env_id in ENVIRONMENTS
        assert set(keywords) <= known
        source = keywords["source"]
        for name in source if isinstance(source, dict) else [source]:
            assert name in SOURCES or "/" in name


@pytest.mark.parametrize("page", sorted(set(PAGES) - set(ELSEWHERE)))
def test_the_python_of_a_page_runs_and_prints_what_stands_under_it(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for printed, shown in run_python(PAGES[page], page):
        assert printed == shown


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_commands_of_a_page_can_be_typed(page: str) -> None:
    pytest.importorskip("torch", reason="the programs of agents/ are read, which need torch")
    for words in commands(PAGES[page]):
        check_command(words)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_commands_of_the_tutorial_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the agents need torch")
    monkeypatch.chdir(tmp_path)
    long = re.compile(r"<!-- not run [^>]*>\n```.*?```", re.DOTALL)
    page, minutes = long.subn("", PAGES["docs/tutorial.md"])
    assert minutes == 1
    ours = [words for words in commands(page) if words[0] == "python"]
    assert [words[2] for words in ours] == [
        "agents.grpo",
        "agents.evaluate",
        "agents.plot",
        "agents.export",
    ]
    # What a test can afford.
    ours[0] += ["--eval-episodes", "1", "--final-episodes", "0", "--group-size", "2"]
    ours[0] += ["--max-new-tokens", "12"]
    ours[1] += ["--time-limit", "0"]
    for _, _, module, *arguments in ours:
        assert importlib.import_module(module).main(arguments) == 0
    assert (tmp_path / "runs/first-evaluation/summary.json").is_file()
    assert (tmp_path / "runs/first-model/config.json").is_file()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("python -m agents.grpo --updatse 3", "unrecognized arguments: --updatse"),
        ("python -m baselines.benchmark --episodes none --output-dir a", "expected an integer"),
        ("python -m agents.evaluate runs/a --episodse 3", "--episodse"),
        ("python -m finemem_env paly", "paly"),
        ("pip install -e '.[trian]'", "trian"),
        ("finemem play", "an unknown program"),
    ],
)
def test_a_command_that_cannot_be_typed_is_found(line: str, message: str) -> None:
    (words,) = commands(f"```bash\n{line}\n```\n")
    with pytest.raises((AssertionError, ModuleNotFoundError), match=message):
        check_command(words)


def test_output_that_is_not_what_stands_there_is_found() -> None:
    page = "```python\nprint(1)\n```\n\n```text\n2\n```\n"
    assert list(run_python(page, "page")) == [("1\n", "2\n")]


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_every_environment_has_a_page_from_its_docstring(env_id: str) -> None:
    page = environment_page(env_id)
    assert page.startswith(f"# {env_id}\n")
    for section in ("Description", "Arguments", "Action Space", "Rewards", "Version History"):
        assert f"\n## {section}\n" in page
    assert list(run_python(page, env_id)) == []
    for target in re.findall(r"\]\(\.\./([^)#]+)", page):
        assert (DOCS / target).is_file()


def test_every_page_is_in_the_navigation() -> None:
    nav = (DOCS.parent / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"- (\S+\.md)$", nav, re.MULTILINE)
    assert sorted(named) == sorted([*(page.name for page in DOCS.glob("*.md")), *generated()])


def test_the_reference_names_modules_with_public_names() -> None:
    for modules in API.values():
        for module in modules:
            done = importlib.import_module(module)
            assert done.__all__


def test_links_out_of_the_folder_lead_to_pages() -> None:
    assert all((DOCS.parent / name).is_file() for name in OUTSIDE)
    moved = relinked("[a](../README.md) [b](../CONTRIBUTING.md#x) [c](data.md)", "docs/x.md")
    assert moved == "[a](index.md) [b](contributing.md#x) [c](data.md)"
    moved = relinked("[a](docs/data.md#b) [b](CITATION.cff) [c](https://d.e)", "CHANGELOG.md")
    assert moved == "[a](data.md#b) b [c](https://d.e)"


def test_the_map_of_the_house_names_what_exists() -> None:
    whole = (DOCS.parent / "CONTRIBUTING.md").read_text("utf-8")
    text = whole.split("## Where do I")[1].split("\n## ")[0]
    rows = re.findall(r"^\| [^|]+ \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 13  # the header and twelve questions
    for row in rows:
        for place in re.findall(r"`((?:finemem_env|baselines)/[^`]+)`", row):
            assert (DOCS.parent / place).exists(), place


def test_the_map_of_the_house_is_drawn_from_the_imports(tmp_path: Path) -> None:
    drawn = tmp_path / "map.svg"
    assert structure.main(["--svg", str(drawn)]) == 0
    assert drawn.read_text("utf-8") == (DOCS / "map.svg").read_text("utf-8")

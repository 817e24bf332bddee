"""With gymnasium and numpy alone: every program explains itself and says what it lacks."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from agents.runs.config import TrainConfig
from finemem_env.errors import ConfigError
from finemem_env.extras import EXTRAS, PACKAGES, load, missing, require

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("agents", "baselines", "benchmarks", "finemem_env")
CORE_ONLY = {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "core_only"), str(ROOT)])}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def _programs() -> list[str]:
    found = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if '\nif __name__ == "__main__":' in path.read_text("utf-8"):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return [name.removesuffix(".__main__") for name in found]


class Run(Protocol):
    """`python -m ARGUMENTS` in `cwd`, on a core install."""

    def __call__(self, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]: ...


def _fresh(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=os.environ | CORE_ONLY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """What `_fresh` does, without importing gymnasium and numpy every time."""
    folder = tmp_path_factory.mktemp("core_only")
    output, errors = folder / "output", folder / "errors"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "core_only" / "forking.py")],
        env=os.environ | CORE_ONLY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    commands, codes = process.stdin, process.stdout
    assert commands is not None
    assert codes is not None

    def run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        commands.write(json.dumps([str(cwd), str(output), str(errors), *arguments]) + "\n")
        commands.flush()
        return subprocess.CompletedProcess(
            arguments, int(codes.readline()), output.read_text("utf-8"), errors.read_text("utf-8")
        )

    with process:
        yield run


def test_the_core_is_all_there_is(forked: Run, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import sys, importlib.util, gymnasium, numpy\n"
        "print([name for name in sys.argv[1:] if importlib.util.find_spec(name)], __name__)\n"
        "raise SystemExit('no')\n"
    )
    known = [name for name in PACKAGES if importlib.util.find_spec(name)]
    for run in (_fresh, forked):
        done = run(tmp_path, "probe", "pytest", *known)
        assert (done.returncode, done.stdout, done.stderr) == (1, "[] __main__\n", "no\n")


def test_the_programs_are_found() -> None:
    assert {"agents.grpo", "baselines.sb3", "benchmarks.trl_speed", "finemem_env"} < {*_programs()}


@pytest.mark.parametrize("program", _programs())
def test_every_program_explains_itself(forked: Run, program: str, tmp_path: Path) -> None:
    done = forked(tmp_path, program, "--help")
    assert done.stdout.startswith(f"usage: python -m {program} "), done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def _llm(backend: str) -> str:
    return json.dumps({"backend": {"name": backend, "model": "m"}})


def _play(**env_args: object) -> list[str]:
    return ["finemem_env", "play", "--env-args", json.dumps(env_args)]


_OUT = ["--output-dir", "out"]
_BENCHMARK = ["baselines.benchmark", "--episodes", "1", *_OUT, "--agent"]
# What is lacking, how to get it, and who needs it, in a folder made by `used`.
LACKING: list[tuple[str, str, list[str]]] = [
    ("torch", "-e '.[train]'", ["agents.grpo", "--smoke", *_OUT]),
    ("torch", "-e '.[train]'", ["agents.warmstart", "out"]),
    ("torch", "-e '.[train]'", ["agents.ablation", "out"]),
    ("torch", "-e '.[train]'", ["agents.export", "run", "out"]),
    ("torch", "-e '.[train]'", ["agents.evaluate", "run", "--episodes", "1"]),
    ("torch", "-e '.[train]'", [*_BENCHMARK, "grpo"]),
    ("transformers", "-e '.[train]'", [*_BENCHMARK, "llm", "--agent-args", _llm("transformers")]),
    ("transformers", "-e '.[train]'", _play(reader={"name": "transformers", "model": "m"})),
    ("stable_baselines3", "-e '.[sb3]'", ["baselines.sb3", *_OUT]),
    ("sb3_contrib", "-e '.[sb3]'", ["baselines.sb3", "--algo", "maskable_ppo", *_OUT]),
    ("openai", "-e '.[openai]'", [*_BENCHMARK, "llm", "--agent-args", _llm("openai")]),
    ("openai", "-e '.[openai]'", _play(reader={"name": "openai", "model": "m"})),
    (
        "openai",
        "-e '.[openai]'",
        ["finemem_env", "chunk-qa", "in.jsonl", "--out", "out", "--generator", "openai:m"],
    ),
    ("vllm", "-e '.[vllm]'", [*_BENCHMARK, "llm", "--agent-args", _llm("vllm")]),
    ("sentence_transformers", "-e '.[dense]'", _play(retriever={"name": "dense", "model": "m"})),
    ("tokenizers", "tokenizers", _play(tokenizer="hf:run")),
    ("pyarrow", "-e '.[data]'", _play(source="memalpha", data_dir="data")),
    (
        "pyarrow",
        "-e '.[data]'",
        ["baselines.published", "memalpha", "--data-dir", "data", *_OUT],
    ),
    (
        "datasets",
        "-e '.[data]'",
        _play(source="memalpha", difficulty={"hub": "YuWangX/Memalpha", "revision": "main"}),
    ),
    ("PIL", "-e '.[plot]'", ["agents.plot", "run", "-o", "out.png"]),
    ("rank_bm25", "-e '.[dev]'", ["benchmarks.retrieval"]),
    ("torch", "-e '.[trl]'", ["benchmarks.trl_speed"]),
]


@pytest.fixture(scope="module")
def used(forked: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a user has beside the missing package: a run, episodes, data."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "run").mkdir()
    (folder / "run" / "config.json").write_text(json.dumps(TrainConfig().as_dict()))
    (folder / "run" / "metrics.jsonl").write_text('{"update": 1, "rollout/score": 0.5}\n')
    (folder / "run" / "tokenizer.json").write_text("{}")
    (folder / "data" / "memalpha").mkdir(parents=True)
    for split in ("train", "test"):
        (folder / "data" / "memalpha" / f"{split}.parquet").touch()
    built = forked(folder, "finemem_env", "build", "synthetic", "--out", "in.jsonl", "--episodes=1")
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.parametrize(
    ("package", "how", "command"), LACKING, ids=[" ".join(one[2])[:60] for one in LACKING]
)
def test_what_is_lacking_is_one_line(
    forked: Run, used: Path, package: str, how: str, command: list[str]
) -> None:
    done = forked(used, *command)
    assert done.returncode == 2, done.stderr
    assert f"needs {package}, which is not installed." in done.stderr
    assert f": pip install {how} (docs/install.md)." in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (used / "out").exists()


def test_what_needs_no_extra_works(forked: Run, used: Path, tmp_path: Path) -> None:
    for command in (
        ["agents.plot", str(used / "run"), "-o", "curves.svg"],
        ["baselines.watch", "--env", "FineMem-CR-v0"],
        ["baselines.benchmark", "--episodes", "1", "--agent", "fifo", *_OUT],
        ["baselines.report", "out"],
        ["finemem_env", "list"],
    ):
        done = forked(tmp_path, *command)
        assert done.returncode == 0, done.stderr


# Packages whose modules have another name than themselves.
NAMED_OTHERWISE = {
    *("PIL", "agentic_memory", "all_minilm_l6_v2", "art", "gem"),
    *("huggingface_hub", "llama_index", "mem0"),
}


def test_every_extra_of_the_table_is_one_of_the_project() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(EXTRAS) == set(extras)
    for extra, packages in EXTRAS.items():
        brought = {re.split("[^a-z0-9-]", one)[0] for one in extras[extra]}
        for package in set(packages) - NAMED_OTHERWISE:
            assert package.replace("_", "-") in brought, package


@pytest.mark.parametrize(
    "find",
    [
        lambda: load("nowhere_to.be.found", "the x", "train"),
        lambda: require(["numpy", "nowhere_to"], "the x", "train"),
    ],
    ids=["load", "require"],
)
def test_a_missing_package_is_named_with_what_brings_it(find: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=r"^the x needs nowhere_to, which .* '\.\[train\]'"):
        find()


def test_a_package_that_is_there_and_fails_is_not_called_missing() -> None:
    broken = ImportError("cannot import name 'y'\nfrom 'torch'", name="torch")
    text = str(missing("the x", broken, hint="Or use y."))
    assert text == (
        "the x needs torch, which is broken: cannot import name 'y' from 'torch'. "
        "In the clone: pip install -e '.[train]' (docs/install.md). Or use y."
    )


def _pages() -> list[Path]:
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *sources])


def test_every_install_command_works_from_a_clone() -> None:
    extras = {*PROJECT["optional-dependencies"], "{extra}"}
    seen = set()
    for path in _pages():
        text = path.read_text("utf-8")
        assert "finemem-env[" not in text, path
        for command in re.findall(r"pip install [^\n`]*\[[^\n`]*", text):
            quoted = re.match(r"pip install -e '\.\[([^\]]+)\]'", command)
            assert quoted, f"{path}: {command}"
            seen |= set(quoted.group(1).split(","))
    assert seen <= extras
    assert seen >= {"train", "sb3"}


def test_the_page_on_installing_lists_every_extra() -> None:
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE)) == set(EXTRAS)

"""Generic folder names, light imports, the public surface."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import finemem_env
from finemem_env import errors

ROOT = Path(__file__).resolve().parents[1]
PLAY = (
    "import pickle, gymnasium as gym, finemem_env\n"
    "env = gym.make('FineMem-CR-v0'); env.reset(seed=0)\n"
    "env.step('')\n"
    "copy = pickle.loads(pickle.dumps(env.unwrapped))\n"
    "assert copy.session.step_index == 1\n"
    "print(type(env.unwrapped).__name__)\n"
)


def _run(code: str, *, cwd: Path, path: list[Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "files",
    [
        {"envs/__init__.py": "raise RuntimeError('foreign envs was imported')"},
        {"envs/__init__.py": ""},
        {"envs/conflict_resolution.py": "raise RuntimeError('foreign module was imported')"},
        {"envs.py": "raise RuntimeError('foreign envs was imported')"},
        {"agents/__init__.py": "raise RuntimeError('foreign agents was imported')"},
    ],
    ids=["package that fails", "empty package", "namespace part", "module", "foreign agents"],
)
def test_foreign_folders_that_come_first_do_no_harm(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = _run(PLAY, cwd=tmp_path, path=[tmp_path, ROOT])
    assert done.stdout == "ConflictResolutionEnv\n", done.stderr


def test_foreign_envs_that_is_imported_already(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "__init__.py").write_text("mine = 1")
    done = _run("import envs; assert envs.mine\n" + PLAY, cwd=tmp_path, path=[tmp_path, ROOT])
    assert done.stdout == "ConflictResolutionEnv\n", done.stderr


def test_generic_folders_are_namespace_packages() -> None:
    for name in ("agents", "baselines", "envs"):
        assert not (ROOT / name / "__init__.py").exists()


def test_import_is_light() -> None:
    code = (
        "import sys, finemem_env\n"
        "heavy = {'torch', 'transformers', 'datasets', 'openai', 'vllm', 'sentence_transformers', "
        "'tqdm', 'scipy', 'pandas', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert _run(code, cwd=ROOT, path=[ROOT]).stdout == "[]\n"


def test_all_is_what_the_package_exposes() -> None:
    assert finemem_env.__all__ == sorted(finemem_env.__all__)
    for name in finemem_env.__all__:
        assert hasattr(finemem_env, name)


def test_errors_are_one_tree() -> None:
    for error in (errors.ConfigError, errors.DataError, errors.ReaderError):
        assert issubclass(error, errors.FineMemError)
    copy = pickle.loads(pickle.dumps(errors.ConfigError("x")))
    assert str(copy) == "x"


def test_versions_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## {finemem_env.__version__} " in changelog
    assert f"version: {finemem_env.__version__}\n" in citation

"""Write the lock files: `tox run -e lock`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TORCH = "torch==2.13.0"  # the release; the lock holds its CPU build
HEADER = "# Exact versions for `{name}`; renew all locks with: tox run -e lock\n"
OPTIONS = (
    "--quiet",
    "--upgrade",
    "--strip-extras",
    "--allow-unsafe",
    "--no-annotate",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
)
# Lock file: what is resolved, from pyproject's extras or from the .in file beside it.
SOURCES = {
    "tox": ("locks/tox.in",),
    "build": ("locks/build.in",),
    "demo": ("pyproject.toml", "--extra", "bench"),
    "wheel": ("pyproject.toml",),
    "docs": ("pyproject.toml", "--extra", "docs"),
    "core": ("locks/core.in",),
    "oldest": ("locks/oldest.in",),
    "tests": ("pyproject.toml", "--extra", "dev"),
}


def main() -> None:
    """Resolve every lock; a file is replaced only when its resolution succeeded."""
    constraint = HERE / ".torch.txt"
    constraint.write_text(TORCH + "\n", encoding="utf-8")
    try:
        for name, source in SOURCES.items():
            print(f"locks/{name}.txt", flush=True)
            (HERE / f"{name}.txt").write_text(_resolve(name, source, constraint), "utf-8")
    finally:
        constraint.unlink()


def _resolve(name: str, source: tuple[str, ...], constraint: Path) -> str:
    command = [sys.executable, "-m", "piptools", "compile", *OPTIONS]
    command += ["--constraint", str(constraint), "--output-file", "-", *source]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    pins = [line for line in done.stdout.splitlines() if "==" in line]
    return HEADER.format(name=name) + "".join(f"{pin}\n" for line in pins for pin in _pins(line))


def _pins(line: str) -> tuple[str, ...]:
    """One line, or two for torch: its CPU build has another version string outside macOS."""
    if not line.startswith("torch=="):
        return (line,)
    return (f'{TORCH}+cpu ; sys_platform != "darwin"', f'{TORCH} ; sys_platform == "darwin"')


if __name__ == "__main__":
    main()

"""Compare the packages of this environment with a lock: `python locks/check.py NAME`.

Needs no package, so that it runs in every environment. On another Python than the lock was made
for, packages that only that Python needs may come on top; versions must agree all the same.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

MADE_FOR = (3, 11)
OURS = {"finemem-env", "pip", "setuptools", "wheel"}  # what venv and tox put there themselves


def main() -> None:
    """Exit with the differences, if there are any."""
    lock = read_lock(Path(__file__).with_name(f"{sys.argv[1]}.txt"))
    found = {_plain(dist.metadata["Name"]): dist.version for dist in distributions()}
    differences = compare(lock, found, exact=sys.version_info[:2] == MADE_FOR)
    if differences:
        sys.exit("the environment is not that of its lock:\n  " + "\n  ".join(differences))
    print(f"{len(found.keys() & lock.keys())} packages as in locks/{sys.argv[1]}.txt")


def read_lock(path: Path) -> dict[str, str]:
    """Version by normalised name, of the lines that hold on this platform."""
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        pin, _, marker = line.partition(";")
        name, _, version = pin.strip().partition("==")
        if _holds(marker.strip()):
            pins[_plain(name)] = version
    return pins


def compare(lock: dict[str, str], found: dict[str, str], *, exact: bool) -> list[str]:
    """A line for each package that differs; those that came on top only if `exact`."""
    lines = []
    for name in sorted(lock.keys() | found.keys()):
        if name in OURS:
            continue
        wanted, got = lock.get(name, "not in the lock"), found.get(name, "not installed")
        if wanted != got and (exact or (name in lock and name in found)):
            lines.append(f"{name}: {wanted} in the lock, {got} here")
    return lines


def _holds(marker: str) -> bool:
    """The two markers that `renew.py` writes."""
    match marker:
        case "":
            return True
        case 'sys_platform == "darwin"':
            return sys.platform == "darwin"
        case 'sys_platform != "darwin"':
            return sys.platform != "darwin"
    raise SystemExit(f"unknown marker in a lock: {marker!r}")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()

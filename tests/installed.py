"""Skips where a package is missing, without importing it: every test process collects all tests."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(package: str, reason: str) -> None:
    """Skip the test, or the module, unless `package` is there."""
    if find_spec(package) is None:
        pytest.skip(reason, allow_module_level=True)

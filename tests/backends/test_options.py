"""Options read into dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from finemem_env.backends.options import check_number, read_options
from finemem_env.errors import ConfigError


@dataclass(frozen=True)
class _Options:
    model: str
    temperature: float = 0.1
    limit: int | None = None
    mode: Literal["a", "b"] = "a"
    extra: Mapping[str, object] = field(default_factory=dict)
    spent: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


def test_values_and_defaults() -> None:
    given = {"model": "m", "temperature": 1, "extra": {"k": 1}, "spent": {"a": {"b": None}}}
    found = read_options(_Options, given, "reader 'x'")
    assert found == _Options("m", 1, None, "a", {"k": 1}, {"a": {"b": None}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "reader 'x': model is missing; it must be a text"),
        ({"modle": "m"}, "unknown option of reader 'x' 'modle'. Did you mean 'mode'"),
        ({"model": 3}, "model must be a text, got 3"),
        ({"model": "m", "temperature": True}, "temperature must be a number, got True"),
        ({"model": "m", "limit": 2.5}, "limit must be an integer or null, got 2.5"),
        ({"model": "m", "mode": "c"}, "mode must be 'a' or 'b', got 'c'"),
        ({"model": "m", "extra": []}, "extra must be a mapping, got []"),
        (
            {"model": "m", "spent": {"a": 3}},
            "spent must be a mapping of names to a mapping of names to a number or null, got",
        ),
        ({"model": "m", "spent": {"a": {"b": "3"}}}, "spent must be a mapping of names to"),
    ],
)
def test_refusals(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_options(_Options, given, "reader 'x'")
    assert message in str(caught.value)


def test_numbers_in_range() -> None:
    check_number("x", "k", 1, 1)
    for value, above in ((0.0, False), (float("nan"), False), (1.0, True), (3.0, False)):
        with pytest.raises(ConfigError, match="x: k must be"):
            check_number("x", "k", value, 1.0, 2.0, above=above)

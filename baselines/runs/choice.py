"""An agent as a run names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from baselines.agents import Agent, make_agent


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """An agent by name with the arguments of its constructor."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name in tables and files; arguments make it another agent."""
        if not self.arguments:
            return self.name
        return f"{self.name}{json.dumps(dict(self.arguments), sort_keys=True)}"

    def make(self) -> Agent:
        """A fresh agent."""
        return make_agent(self.name, self.arguments)

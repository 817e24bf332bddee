"""`oracle`: reads the questions with their golds from the environment, so it is the ceiling.

It looks only into the unwrapped environment (never into `info`): final questions and drawn chunk
questions with golds and evidence, and the reader. Once per episode it plans what the memory must
hold after every step (`plan`); then each step deletes what is no longer needed and
inserts what is. For a final question that is the evidence sentence from the step that read it until
the question is asked; for a drawn chunk question the same just for the step that asks it. So a
superseded sentence goes as soon as nothing asks for it.

Where no evidence sentence holds the answer it stores "question → answer", for a label the question
as a labelled example line, for a written summary the gold's opening words. The same goes for
evidence that fails when the plan is rehearsed, and for the longest evidence when all of it does not
fit into the budget; if even that does not fit, the notes that serve the most questions per token
stay.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from baselines.agents import Info
from baselines.managers.plan import Plan
from baselines.managers.scripted import skip

__all__ = ["Oracle"]


class Oracle:
    """The privileged upper bound; see the module's docstring.

    Args:
        rehearsals: most times that the plan is played before the episode. Each costs as many reader
            calls as the episode itself: 0 for a reader that is paid by the call.
    """

    def __init__(self, rehearsals: int = 3) -> None:
        self._rehearsals = rehearsals
        self._env: Any = None
        self._plan: Plan | None = None

    def attach(self, env: gym.Env[str, str]) -> None:
        """Receive the environment that it will look into."""
        self._env = env.unwrapped

    def reset(self, info: Info) -> None:
        """Plan the episode."""
        plan = self._plan = Plan(self._env.session)
        plan.shorten()
        for _ in range(self._rehearsals):
            if not plan.rehearse(self._env.factory.reader):
                break

    def act(self, observation: str, info: Info) -> str:
        """Bring the memory to what is needed after this step."""
        if self._plan is None or self._env.session.terminated:
            return skip()
        return self._plan.action(self._env.session)

"""`oracle`: reads the questions with their golds from the environment, so it is the ceiling.

It looks only into the unwrapped environment (never into `info`): final questions and drawn chunk
questions with golds and evidence, and the reader. Once per episode it plans what the memory must
hold after every step (`plan`); then each step deletes what is no longer needed and
inserts what is. For a final question that is the evidence sentence from the step that read it until
the question is asked; for a drawn chunk question the same just for the step that asks it. So a
superseded sentence goes as soon as nothing asks for it.

It tries what it stores (`rehearsal`): every way to write down an answer (`notes`: the evidence as
it was told or without function words, "question → answer", the answer behind its question, a
labelled line, the opening words of a summary) is shown to the environment's own reader alone and
scored by the question's own metric, and whole episodes are played in copies of the environment.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from baselines.agents import Info
from baselines.managers.rehearsal import Player, rehearsed
from baselines.managers.scripted import skip


class Oracle:
    """The privileged upper bound; see the module's docstring.

    Args:
        rehearsals: most times that its plans are played before the episode, beside the agents of
            the registry that it plays where its plans do not answer everything. Each costs as many
            reader calls as the episode itself: 0 for a reader that is paid by the call.
    """

    def __init__(self, rehearsals: int = 3) -> None:
        self._rehearsals = rehearsals
        self._env: Any = None
        self._plan: Player | None = None

    def attach(self, env: gym.Env[str, str]) -> None:
        """Receive the environment that it will look into."""
        self._env = env.unwrapped

    def reset(self, info: Info) -> None:
        """Plan the episode."""
        self._plan = rehearsed(self._env, info, self._rehearsals)

    def act(self, observation: str, info: Info) -> str:
        """Bring the memory to what is needed after this step."""
        if self._plan is None or self._env.session.terminated:
            return skip()
        return self._plan.action(self._env.session)

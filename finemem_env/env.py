"""`MemoryEnv`: one session behind Gymnasium's interface."""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, Self

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from finemem_env.console import accept_any_text
from finemem_env.errors import ConfigError, KeywordError
from finemem_env.factory import SessionFactory
from finemem_env.locate import blank_env
from finemem_env.prompts import INSTRUCTIONS
from finemem_env.session import Session, render_text, run_step
from finemem_env.session.info import make_info
from finemem_env.spaces import fork_space
from finemem_env.types import Competency

# The part of an environment's page that every id shares; appended to the docstring of each class.
_SHARED_PAGE = """    Action Space:
        A string: a JSON list of INSERT, UPDATE, DELETE operations or one SKIP
        (`info["instructions"]` has the grammar). Text that cannot be read is rejected and counted,
        never raised.

    Observation Space:
        A string: the chunk in `<chunk>`, then the visible memory in `<memory>`, one
        `[id] content` per item.

    Rewards:
        Each step: w_fmt·r_fmt + w1·r_chunk. The last adds r_global + T·w·r_comp. The attributed
        reward of every step is in `info["step_rewards"]` at the end and has the same sum
        (docs/rewards.md).

    Starting State:
        The first chunk and an empty memory. The episode and its questions follow from the seed, or
        from `options={"episode_id": …}`.

    Episode End:
        After the last chunk, whatever the agent wrote. Never truncated; a `TimeLimit` that is
        shorter loses the final questions, with a warning.

    Information:
        The same keys at every step, listed in docs/environments.md.
    """


class MemoryEnv(gym.Env[str, str]):
    """Reads a long context chunk by chunk; each action edits the memory that answers questions.

    Observations and actions are strings. `step` returns the streamed reward; the attributed reward
    of every step is in `info["step_rewards"]` after the last. Agent text never raises and never
    changes the number of steps, which is the number of chunks.

    Args:
        render_mode: None, "ansi" (text from `render`) or "human" (printed after every step).
        **keywords: see `factory.SessionFactory` and `settings.resolve`.

    Raises:
        ConfigError: an unknown or contradictory keyword.
        KeywordError: an unknown render mode; clients try "rgb_array" and go on without.
        DataError: the source's files are missing or malformed.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human"], "render_fps": 1}  # noqa: RUF012
    competency: ClassVar[Competency | None] = None
    default_source: ClassVar[str] = "synthetic"
    instructions = INSTRUCTIONS

    def __init__(self, *, render_mode: str | None = None, **keywords: Any) -> None:  # noqa: ANN401
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise KeywordError(
                f'render_mode: expected None, "ansi" or "human", got {render_mode!r}.'
            )
        self.render_mode = render_mode
        self.factory = SessionFactory(
            self.competency, **{"source": self.default_source, **keywords}
        )
        self.instructions = self.factory.instructions
        self.observation_space = self.factory.observation_space()
        self.action_space = self.factory.action_space()
        self._session: Session | None = None
        self._versions: dict[str, str] = {}
        self._warned = False

    def __init_subclass__(cls) -> None:
        """Complete the class's page."""
        super().__init_subclass__()
        # Python 3.13 takes the indentation off docstrings, and off no other string.
        own = inspect.cleandoc(cls.__doc__ or "")
        cls.__doc__ = f"{own}\n\n{inspect.cleandoc(_SHARED_PAGE)}"

    @property
    def session(self) -> Session:
        """The running session: episode, memory, settings (for privileged agents and tests).

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._session is None:
            raise gym.error.ResetNeeded("Call reset() first: there is no episode yet.")
        return self._session

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode, drawn from the seed or named by `options={"episode_id": …}`.

        Raises:
            ConfigError: an unknown option.
            DataError: an unknown episode id.
        """
        super().reset(seed=seed)
        self._session = self.factory.session(self.np_random, options)
        self._versions = self.factory.versions(self._session)
        self._warn()
        info = make_info(self._session, self._versions, None)
        self._show()
        return self._session.observe(), info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Apply the agent's text to the memory and ask what is due.

        Raises:
            ConfigError: the action is not a string.
            gymnasium.error.ResetNeeded: the episode is over, or was never started.
        """
        if not isinstance(action, str):
            raise ConfigError(f"action: expected a str, got {type(action).__name__}.")
        session = self.session
        if session.terminated:
            raise gym.error.ResetNeeded("The episode is over (every chunk was read): call reset().")
        (result,) = run_step([session], [action], self.factory.reader, self.factory.judge)
        info = make_info(session, self._versions, result)
        self._show()
        return session.observe(), result.reward, result.terminated, False, info

    def fork(self) -> Self:
        """A copy in the middle of the episode: equal actions give equal steps, apart from this one.

        The same memory, questions and random numbers to come; reader, judge and source are shared.
        Of a wrapped environment, `env.unwrapped.fork()` gives the copy without its wrappers.
        """
        other = copy.copy(self)
        other.factory = self.factory.fork()
        other._session = None if self._session is None else self._session.fork()
        other._np_random = copy.deepcopy(self.np_random)  # made on first use, for both copies
        other._np_random_seed = self._np_random_seed
        other.observation_space = fork_space(self.observation_space)
        other.action_space = fork_space(self.action_space)
        return other

    def render(self) -> str | None:
        """The last action, its outcome, the next view: returned ("ansi") or printed ("human")."""
        if self.render_mode is None:
            gym.logger.warn('render() needs render_mode="ansi" or "human".')
            return None
        text = render_text(self.session)
        if self.render_mode == "ansi":
            return text
        accept_any_text(sys.stdout)
        sys.stdout.write(text)
        return None

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def _warn(self) -> None:
        """Say once that the wrapper around this reset ends episodes before their questions."""
        limit, steps = _time_limit(), self.session.num_chunks
        if self._warned or limit is None or limit >= steps:
            return
        self._warned = True
        warnings.warn(
            f"TimeLimit: {limit} steps end the episode before its {steps} chunks are read, so that "
            "the final questions are never asked and there is no score; for shorter episodes use "
            f"num_chunks={limit}.",
            UserWarning,
            stacklevel=3,
        )

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Pickle by module and class name, found again even if another `envs` is on the path."""
        return blank_env, (type(self).__module__, type(self).__qualname__), self.__dict__


def _time_limit() -> int | None:
    """The steps of the shortest `TimeLimit` that called this reset: it tells nobody inside."""
    limits: list[int] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        wrapper = frame.f_locals.get("self")
        if isinstance(wrapper, TimeLimit):
            limits.append(wrapper._max_episode_steps)
        frame = frame.f_back
    return min(limits, default=None)

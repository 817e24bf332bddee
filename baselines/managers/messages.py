r"""`messages`: agents in MemoryAgentBench's form, `send_message(text, memorizing)`.

Such an agent keeps a memory of its own and answers the questions itself, so here it is both: as the
agent it is sent every chunk to memorise and skips; in the reader's place it is sent the questions.

    class Notebook:
        def __init__(self):
            self.notes = []

        def send_message(self, text, memorizing=False):
            if memorizing:
                self.notes.append(text)
                return "Noted."
            return ...             # the answer: a text, or {"output": text}

    python -m baselines.published memoryagentbench --agent messages \
        --agent-args '{"agent": "my_module:Notebook"}' --output-dir runs/notebook

The environment's own memory stays empty: its size, and rewards for operations, are not measured.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym

from baselines.agents import MESSAGES, AgentError, Info, factory_of
from baselines.managers.scripted import skip
from finemem_env.errors import BackendError, ConfigError
from finemem_env.media import raw_media
from finemem_env.prompts import parse_observation
from finemem_env.readers.windows import trim
from finemem_env.registry import load_reference
from finemem_env.types import Answer, Medium, Reader, ReadRequest

MEMORISE = "Please remember what I read at {time}:\n\n{chunk}"
_OPTIONAL = ("query_id", "context_id")  # MemoryAgentBench sends them; an agent need not take them


@runtime_checkable
class MessageAgent(Protocol):
    """An agent of MemoryAgentBench: one method for both halves of an episode."""

    def send_message(self, text: str, memorizing: bool) -> Any:  # noqa: ANN401
        """Memorise a text; or answer a question, with a text or a mapping that has "output"."""
        ...


class Messages:
    """Plays a `MessageAgent` as agent and reader; a fresh one for every episode.

    A method that takes `query_id` and `context_id` is given the number of the question and of the
    episode; one that names `media` is given the pictures and sounds of the chunk (`Medium`, with
    their bytes), () with a question. Replies are cut to the answer_tokens of the question.

    Args:
        agent: makes one, or names its class as "package.module:Class".
        arguments: keywords of that class.
        template: the message that a chunk is sent in, with {chunk}, {time} and {index}.

    Raises:
        ConfigError: a class that cannot be found, has no send_message or takes other arguments,
            another {field} in the template.
    """

    def __init__(
        self,
        agent: str | Callable[..., MessageAgent] = "",
        arguments: Mapping[str, Any] | None = None,
        template: str = MEMORISE,
    ) -> None:
        self._make = (
            load_reference('messages: "agent" of --agent-args', agent)
            if isinstance(agent, str)
            else agent
        )
        self._arguments = dict(arguments or {})
        self._template = template
        self._send: Callable[..., Any] = _not_made
        self._extras: tuple[str, ...] = ()
        self._replaced: Reader | None = None
        self._contexts = -1
        self._queries = -1
        self._media: tuple[Medium, ...] = ()
        self._check()

    @property
    def version(self) -> str:
        """As a reader: the name of the class."""
        return f"{MESSAGES}/{getattr(self._make, '__qualname__', type(self._make).__qualname__)}"

    def attach(self, env: gym.Env[str, str]) -> None:
        """Take the reader's place in an environment."""
        factory = factory_of(env)
        self._replaced, factory.reader = factory.reader, self

    def detach(self, env: gym.Env[str, str]) -> None:
        """Put the environment's own reader back."""
        if self._replaced is not None:
            factory_of(env).reader = self._replaced
            self._replaced = None

    def reset(self, info: Info) -> None:
        """Make a fresh agent.

        Raises:
            ConfigError: what was made has no send_message.
        """
        made = self._make(**self._arguments)
        if not isinstance(made, MessageAgent):
            raise ConfigError(f"{self.version} has no method send_message.")
        self._send, self._extras = made.send_message, _taken(made.send_message)
        self._contexts += 1
        self._queries = -1

    def act(self, observation: str, info: Info) -> str:
        """Send the chunk; leave the environment's memory alone."""
        view = parse_observation(observation)
        if view.chunk is not None:
            self._media = raw_media(info)
            self._message(self._memorise(view.chunk, view.chunk_index, view.time), memorizing=True)
            self._media = ()
        return skip(view.lines)

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """Send the questions, one by one.

        Raises:
            AgentError: the agent raises, or replies with something that is no text.
        """
        return [self._ask(request) for request in requests]

    def _ask(self, request: ReadRequest) -> Answer:
        self._queries += 1
        options = (f"\n{chr(ord('A') + i)}. {text}" for i, text in enumerate(request.choices))
        question = f"{request.query_prefix}{request.question}{''.join(options)}"
        try:
            reply = self._message(question, memorizing=False)
        except BackendError:
            return Answer("", failed=True)
        except (Exception, SystemExit) as error:
            raise AgentError(f"send_message raised {type(error).__name__}: {error}") from error
        text = reply.get("output") if isinstance(reply, Mapping) else reply
        if not isinstance(text, str):
            raise AgentError(
                "send_message replied to a question with "
                f"{type(reply).__name__}, expected a text or a mapping with a text as 'output'"
            )
        return Answer(trim(text, request.answer_tokens))

    def _message(self, text: str, *, memorizing: bool) -> Any:  # noqa: ANN401
        extras = {
            "query_id": None if memorizing else self._queries,
            "context_id": self._contexts,
            "media": self._media,
        }
        return self._send(text, memorizing=memorizing, **{key: extras[key] for key in self._extras})

    def _memorise(self, chunk: str, index: int, time: str | None) -> str:
        return self._template.format(chunk=chunk, index=index, time=time or f"step {index + 1}")

    def _check(self) -> None:
        try:
            self._memorise("", 0, None)
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(
                "messages: the template takes {chunk}, {time} and {index}, and braces are doubled; "
                f"got {self._template!r}."
            ) from error
        if isinstance(self._make, type) and not hasattr(self._make, "send_message"):
            raise ConfigError(f"{self.version} has no method send_message.")
        try:
            inspect.signature(self._make).bind(**self._arguments)
        except TypeError as error:
            raise ConfigError(f"{self.version}, arguments {self._arguments}: {error}.") from error


def _not_made(text: str, memorizing: bool) -> str:
    raise RuntimeError("messages: reset() comes first")


def _taken(send: Callable[..., Any]) -> tuple[str, ...]:
    """Those of `_OPTIONAL` that a method takes, and `media` where it names it."""
    taken = inspect.signature(send).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    ids = [name for name in _OPTIONAL if anything or name in taken]
    return (*ids, "media") if "media" in taken else tuple(ids)

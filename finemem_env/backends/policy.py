"""A prompted language model as the memory manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finemem_env.backends.base import Backend, ChatRequest, Failure, Message, Sampling, seen
from finemem_env.errors import BackendError
from finemem_env.media import raw_media
from finemem_env.prompts import INSTRUCTIONS, has_line_numbers, has_media_names
from finemem_env.types import Medium


def _tool(name: str, description: str, **fields: str) -> dict[str, object]:
    """One operation as a function in OpenAI's form; all its fields are required texts."""
    properties = {key: {"type": "string", "description": text} for key, text in fields.items()}
    parameters = {"type": "object", "properties": properties, "required": list(fields)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


OPERATION_TOOLS = (
    _tool("INSERT", "Add an item to the memory.", content="Text to remember."),
    _tool("UPDATE", "Replace the text of an item.", id="Item id.", content="New text of the item."),
    _tool("DELETE", "Remove an item.", id="Item id."),
    _tool("SKIP", "Leave the memory as it is; only on its own."),
)
_LINES: dict[str, object] = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "Numbers of the chunk's sentences that the item consists of.",
}
_MEDIA: dict[str, object] = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Names of pictures and sounds that the item keeps, such as m1.",
}


def _with(tool: Mapping[str, Any], name: str, schema: object) -> dict[str, object]:
    """The tool with the field `name` beside or in the place of `content`, where it has that."""
    function = tool["function"]
    parameters = function["parameters"]
    if "content" not in parameters["properties"]:
        return dict(tool)
    parameters = {
        **parameters,
        "properties": {**parameters["properties"], name: schema},
        "required": [field for field in parameters["required"] if field != "content"],
    }
    return {**tool, "function": {**function, "parameters": parameters}}


LINE_TOOLS = tuple(_with(tool, "lines", _LINES) for tool in OPERATION_TOOLS)
"""The operations where the chunk's sentences are numbered."""

# Fine-Mem's manager runs at temperature 0.1 when it is evaluated; a reply is at most 2,048 tokens
# in Mem-α (arXiv 2509.25911).
_SAMPLING = Sampling(temperature=0.1, max_tokens=2048)


def manage_request(
    observation: str,
    instructions: str = "",
    *,
    tools: bool = False,
    sampling: Sampling = _SAMPLING,
    media: Sequence[Medium] = (),
) -> ChatRequest:
    """What a memory manager is asked at a step, in training and when it is used.

    Args:
        observation: of the environment; instructions at its beginning are taken off.
        instructions: the system message; "" gives none.
        tools: offer the operations as tools where the model's template takes them, with `lines`
            where the observation numbers its sentences.
        sampling: how the reply is drawn.
        media: what the chunk shows, for a model that takes it.
    """
    user = Message("user", observation.removeprefix(instructions).lstrip("\n"), tuple(media))
    return ChatRequest(
        (Message("system", instructions), user) if instructions else (user,),
        sampling,
        prompt="manage",
        tools=_offered(user.content) if tools else (),
    )


def _offered(observation: str) -> tuple[Mapping[str, object], ...]:
    """The operations as tools, with what the observation lets them name."""
    tools = LINE_TOOLS if has_line_numbers(observation) else OPERATION_TOOLS
    if has_media_names(observation):
        return tuple(_with(tool, "media", _MEDIA) for tool in tools)
    return tools


class ModelPolicy:
    """Reads the instructions and an observation, replies with operations as text.

    An agent of the benchmark: `reset(info)`, `act(observation, info)`. Each step is a conversation
    of its own, since the observation holds the memory.

    Args:
        backend: the model; not behind a cache when it must explore.
        sampling: how replies are drawn.
        tools: offer the operations as tools where the model's template takes them.
        give_instructions: False for a model that was trained without them, as the packaged one.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        sampling: Sampling = _SAMPLING,
        tools: bool = False,
        give_instructions: bool = True,
    ) -> None:
        self.backend = backend
        self.sampling = sampling
        self.give_instructions = give_instructions
        self.tools = tools

    def reset(self, info: Mapping[str, Any]) -> None:
        """Nothing is carried from one episode to the next."""

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        """Operations for one step.

        Raises:
            BackendError: there was no reply; a run must not take that for the agent's doing.
        """
        media = raw_media(info) if seen(self.backend) else ()
        return self.act_all([observation], info.get("instructions", INSTRUCTIONS), [media])[0]

    def act_all(
        self,
        observations: Sequence[str],
        instructions: str = INSTRUCTIONS,
        media: Sequence[Sequence[Medium]] = (),
    ) -> list[str]:
        """Operations for one step of several episodes, as one batch.

        Args:
            observations: one for each.
            instructions: the action grammar.
            media: what each chunk shows; sent as far as the backend says that its model takes it.

        Raises:
            BackendError: a call failed for good.
        """
        shown = media or [()] * len(observations)
        requests = [
            self._request(observation, instructions, media)
            for observation, media in zip(observations, shown, strict=True)
        ]
        replies = self.backend.complete(requests)
        failed = [reply for reply in replies if reply.failure is not None]
        if failed:
            long = failed[0].failure is Failure.TOO_LONG
            hint = " (max_observation_tokens bounds the observation)" if long else ""
            raise BackendError(
                f"manager {self.backend.model}: {len(failed)} of {len(replies)} calls failed: "
                f"{failed[0].failure}{hint} {failed[0].detail}".rstrip()
            )
        return [reply.text for reply in replies]

    def _request(self, observation: str, instructions: str, media: Sequence[Medium]) -> ChatRequest:
        user = observation.removeprefix(instructions)
        system = instructions if self.give_instructions else ""
        kinds = seen(self.backend)
        taken = [medium for medium in media if medium.kind in kinds]
        return manage_request(user, system, tools=self.tools, sampling=self.sampling, media=taken)

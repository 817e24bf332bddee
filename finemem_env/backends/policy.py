"""A prompted language model as the memory manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finemem_env.backends.base import Backend, ChatRequest, Failure, Message, Sampling
from finemem_env.errors import BackendError
from finemem_env.prompts import INSTRUCTIONS, has_line_numbers


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


def _with_lines(tool: Mapping[str, Any]) -> dict[str, object]:
    """The tool with `lines` beside `content`, of which a call gives one."""
    function = tool["function"]
    parameters = function["parameters"]
    if "content" not in parameters["properties"]:
        return dict(tool)
    parameters = {
        **parameters,
        "properties": {**parameters["properties"], "lines": _LINES},
        "required": [name for name in parameters["required"] if name != "content"],
    }
    return {**tool, "function": {**function, "parameters": parameters}}


LINE_TOOLS = tuple(map(_with_lines, OPERATION_TOOLS))
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
) -> ChatRequest:
    """What a memory manager is asked at a step, in training and when it is used.

    Args:
        observation: of the environment; instructions at its beginning are taken off.
        instructions: the system message; "" gives none.
        tools: offer the operations as tools where the model's template takes them, with `lines`
            where the observation numbers its sentences.
        sampling: how the reply is drawn.
    """
    user = Message("user", observation.removeprefix(instructions).lstrip("\n"))
    offered = LINE_TOOLS if has_line_numbers(user.content) else OPERATION_TOOLS
    return ChatRequest(
        (Message("system", instructions), user) if instructions else (user,),
        sampling,
        prompt="manage",
        tools=offered if tools else (),
    )


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
        return self.act_all([observation], info.get("instructions", INSTRUCTIONS))[0]

    def act_all(self, observations: Sequence[str], instructions: str = INSTRUCTIONS) -> list[str]:
        """Operations for one step of several episodes, as one batch.

        Raises:
            BackendError: a call failed for good.
        """
        requests = [self._request(observation, instructions) for observation in observations]
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

    def _request(self, observation: str, instructions: str) -> ChatRequest:
        user = observation.removeprefix(instructions)
        given = instructions if self.give_instructions else ""
        return manage_request(user, given, tools=self.tools, sampling=self.sampling)

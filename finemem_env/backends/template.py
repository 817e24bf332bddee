"""Chats to token ids and back: the one way for readers, managers, training and evaluation."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from finemem_env.backends.base import ChatRequest
from finemem_env.errors import ConfigError

# For a model without a template: what there is to read, then a line that asks for operations.
_PLAIN = (
    "{% for message in messages %}{{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Operations:\n{% endif %}"
)

_USER = {"role": "user", "content": "USER"}


class ChatTemplate:
    """A transformers tokenizer and its chat template.

    Tools are passed where the template knows them and left out elsewhere: the instructions of the
    environments say how to write operations in either case. A template that refuses the system role
    or leaves it out gets its text in front of the user's.

    Args:
        tokenizer: with a chat template.
        variables: passed to the template, such as `enable_thinking`; unknown ones have no effect.
        ends: tokens that end a reply, beside the tokenizer's own (`end_ids`).

    Raises:
        ConfigError: the tokenizer has no chat template, or one that fails or leaves out what the
            user says.
    """

    def __init__(
        self,
        tokenizer: Any,  # noqa: ANN401 - of transformers
        variables: Mapping[str, object],
        ends: Sequence[int] = (),
    ) -> None:
        if not tokenizer.chat_template:
            raise ConfigError(
                f"model {tokenizer.name_or_path!r} has no chat template: use an instruction-tuned "
                "model, or write a chat_template.jinja into its folder."
            )
        self.tokenizer = tokenizer
        self.variables = dict(variables)
        self.takes_tools = "tools" in str(tokenizer.chat_template)
        self._ends = {*ends, *end_ids(tokenizer)}
        self._check()
        self._system = self._takes_system()

    def render(self, request: ChatRequest) -> str:
        """The text of the prompt, up to where the reply begins."""
        turns = [{"role": message.role, "content": message.content} for message in request.messages]
        if not self._system:
            turns = _without_system(turns)
        tools = [dict(tool) for tool in request.tools] if self.takes_tools else None
        return self._render(turns, tools or None)

    def encode(self, request: ChatRequest) -> list[int]:
        """Token ids of the prompt."""
        return self.encode_all([request])[0]

    def encode_all(self, requests: Sequence[ChatRequest]) -> list[list[int]]:
        """Token ids of every prompt; equal prompts are tokenised once."""
        texts = [self.render(request) for request in requests]
        distinct = list(dict.fromkeys(texts))
        if not distinct:  # which a tokenizer refuses
            return []
        # A template writes the special tokens of the model itself.
        rows = self.tokenizer(distinct, add_special_tokens=False)["input_ids"]
        known = dict(zip(distinct, rows, strict=True))
        return [list(known[text]) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """The reply's text without the tokens that end it.

        Special tokens inside stay: some models mark thinking so, which is then left out as thinking
        and never executed, and some mark tool calls.
        """
        kept = list(ids)
        while kept and kept[-1] in self._ends:
            kept.pop()
        text: str = self.tokenizer.decode(
            kept, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def target(self, text: str) -> tuple[int, ...]:
        """Token ids of a reply written by someone else, with the end token, for warm starts."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return (*ids, self.tokenizer.eos_token_id)

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, turns: list[dict[str, str]], tools: list[dict[str, Any]] | None) -> str:
        text: str = self.tokenizer.apply_chat_template(
            turns, tools=tools, tokenize=False, add_generation_prompt=True, **self.variables
        )
        return text

    def _check(self) -> None:
        """Refuse a template that does not tell the model what there is to read."""
        try:
            fault = None if self._says("USER", [_USER]) else "leaves out what the user says"
        except _template_error() as error:
            fault = f"fails ({error})"
        if fault is not None:
            raise ConfigError(
                f"model {self.tokenizer.name_or_path!r}: its chat template {fault}: mend the "
                "chat_template.jinja in its folder."
            )

    def _takes_system(self) -> bool:
        """Whether a system message gets into the prompt; some templates raise, some drop it."""
        try:
            return self._says("SYSTEM", [{"role": "system", "content": "SYSTEM"}, _USER])
        except _template_error():
            return False

    def _says(self, text: str, turns: list[dict[str, str]]) -> bool:
        return text in self._render(turns, None)


def _template_error() -> type[Exception]:
    found: type[Exception] = importlib.import_module("jinja2.exceptions").TemplateError
    return found


def end_ids(tokenizer: Any, generation_config: Any = None) -> tuple[int, ...]:  # noqa: ANN401
    """Tokens that end a reply: those of the generation config and the tokenizer, then padding."""
    configured = getattr(generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    known = [*listed, tokenizer.eos_token_id, tokenizer.pad_token_id]
    return tuple(dict.fromkeys(token for token in known if token is not None))


def give_plain_template(tokenizer: Any) -> None:  # noqa: ANN401
    """Let a tokenizer without a chat template write plain text; it is saved with the tokenizer."""
    if tokenizer.chat_template:
        return
    start = tokenizer("")["input_ids"][:1]  # what the model was trained to see first
    begin = "{{ bos_token }}" if start and start[0] == tokenizer.bos_token_id else ""
    tokenizer.chat_template = begin + _PLAIN


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    others = [turn for turn in turns if turn["role"] != "system"]
    if system and others:
        others[0] = others[0] | {"content": f"{system}\n\n{others[0]['content']}"}
    return others

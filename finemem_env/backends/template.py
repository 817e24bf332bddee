"""Chats to token ids and back, with the model's own chat template."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from finemem_env.backends.base import ChatRequest
from finemem_env.errors import ConfigError

__all__ = ["ChatTemplate"]


class ChatTemplate:
    """A transformers tokenizer and its chat template.

    Tools are passed where the template knows them and left out elsewhere: the instructions of the
    environments say how to write operations in either case. A template that refuses the system role
    gets its text in front of the user's.

    Args:
        tokenizer: with a chat template.
        variables: passed to the template, such as `enable_thinking`; unknown ones have no effect.

    Raises:
        ConfigError: the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, variables: Mapping[str, object]) -> None:  # noqa: ANN401
        if not tokenizer.chat_template:
            raise ConfigError(
                f"model {tokenizer.name_or_path!r} has no chat template: use an instruction-tuned "
                "model, or write a chat_template.jinja into its folder."
            )
        self.tokenizer = tokenizer
        self.variables = dict(variables)
        self.takes_tools = "tools" in str(tokenizer.chat_template)
        self._system = self._renders([{"role": "system", "content": "x"}, _user("x")])

    def encode(self, request: ChatRequest) -> list[int]:
        """Token ids of the prompt, up to where the reply begins."""
        turns = [{"role": one.role, "content": one.content} for one in request.messages]
        if not self._system:
            turns = _without_system(turns)
        tools = [dict(tool) for tool in request.tools] if self.takes_tools else None
        text = self._render(turns, tools or None)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The reply's text. Special tokens inside stay, since some models mark tool calls so."""
        kept = list(ids)
        ends = {self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
        while kept and kept[-1] in ends:
            kept.pop()
        text: str = self.tokenizer.decode(kept, skip_special_tokens=False)
        return text

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, turns: list[dict[str, str]], tools: list[dict[str, Any]] | None) -> str:
        text: str = self.tokenizer.apply_chat_template(
            turns, tools=tools, tokenize=False, add_generation_prompt=True, **self.variables
        )
        return text

    def _renders(self, turns: list[dict[str, str]]) -> bool:
        template_error = importlib.import_module("jinja2.exceptions").TemplateError
        try:
            self._render(turns, None)
        except template_error:
            return False
        return True


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    others = [turn for turn in turns if turn["role"] != "system"]
    if system and others:
        others[0] = others[0] | {"content": f"{system}\n\n{others[0]['content']}"}
    return others

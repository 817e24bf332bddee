"""From instructions and observation to prompt tokens, and from tokens back to text.

The tokenizer's chat template is used when it has one, with the operations as tools on request and
thinking switched off where the template knows the switch; otherwise plain text. Observations put
the chunk before the memory, so the rows of a group begin with the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from finemem_env.backends.policy import OPERATION_TOOLS
from finemem_env.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Chat"]

Prompt = tuple[str, str]  # instructions and observation


class Chat:
    """Prompts for one tokenizer.

    Args:
        tokenizer: with or without a chat template.
        tools: hand the operations to the template as tools.

    Raises:
        ConfigError: for tools without a chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, tools: bool = False) -> None:
        self.tokenizer: Any = tokenizer
        self.tools = list(OPERATION_TOOLS) if tools else None
        self.has_template = bool(self.tokenizer.chat_template)
        if tools and not self.has_template:
            raise ConfigError("tools=True needs a tokenizer with a chat template; this has none.")
        self._system = self.has_template and self._accepts_system()

    def render(self, instructions: str, observation: str) -> str:
        """The text of one prompt, up to where the model answers; "" gives no instructions."""
        if not self.has_template:
            head = f"{instructions}\n\n" if instructions else ""
            return f"{head}{observation}\n\nOperations:\n"
        if not instructions:
            return self._template(_messages(("user", observation)))
        if self._system:
            return self._template(_messages(("system", instructions), ("user", observation)))
        return self._template(_messages(("user", f"{instructions}\n\n{observation}")))

    def encode(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        """Token ids of every prompt; equal prompts are tokenised once."""
        distinct = list(dict.fromkeys(prompts))
        if not distinct:
            return []
        texts = [self.render(*prompt) for prompt in distinct]
        # A template writes the special tokens of the model itself.
        ids = self.tokenizer(texts, add_special_tokens=not self.has_template)["input_ids"]
        known = {prompt: tuple(row) for prompt, row in zip(distinct, ids, strict=True)}
        return [known[prompt] for prompt in prompts]

    def decode(self, completions: Sequence[Sequence[int]]) -> list[str]:
        """Texts of sampled ids, without special tokens."""
        if not completions:  # for which batch_decode gives one empty text
            return []
        texts: list[str] = self.tokenizer.batch_decode(
            [list(ids) for ids in completions],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return texts

    def target(self, text: str) -> tuple[int, ...]:
        """Token ids of an answer written by someone else, with the end token, for warm starts."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return (*ids, self.tokenizer.eos_token_id)

    def _template(self, messages: list[dict[str, str]]) -> str:
        """Apply the chat template; templates ignore the arguments they do not know."""
        text: str = self.tokenizer.apply_chat_template(
            messages,
            tools=self.tools,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return text

    def _accepts_system(self) -> bool:
        """Whether the template takes a system message; some raise on it."""
        from jinja2 import TemplateError

        try:
            text = self._template(_messages(("system", "instructions"), ("user", "observation")))
        except TemplateError:
            return False
        return "instructions" in text


def _messages(*turns: tuple[str, str]) -> list[dict[str, str]]:
    """Chat messages of (role, content) turns."""
    return [{"role": role, "content": content} for role, content in turns]

"""A language model as the reasoning agent: numbered items in the prompt, a short answer back.

The model names the items that its answer rests on, which fills `Answer.used`; a reply that does not
is still an answer, with `used` empty. A call that failed gives a failed answer, never a wrong one;
so does a reply that is empty or nothing but reasoning, as one is that was cut while thinking, and
one that was cut before its answer.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from finemem_env.backends import Backend, ChatRequest, Failure, Message, Sampling
from finemem_env.backends.base import seen
from finemem_env.backends.usage import READER, spending_as
from finemem_env.prompts import load_prompt, render_item
from finemem_env.scoring import strip_reasoning
from finemem_env.types import Answer, Medium, ReadRequest

PROMPT = "read/1"
# Mem-α's answering server decreases top-k until its prompt fits 30,000 tokens (arXiv 2509.25911).
MAX_PROMPT_TOKENS = 30_000
_SAMPLING = Sampling()
_FRAME_TOKENS = 48  # "Answer:", "Used: 1, 2, …" and the tokens that open and close turns
_WORDS_PER_TOKEN = 0.75

# Possessive, and within one line until the colon: a reply takes time linear in its length.
_USED = re.compile(
    r"^(?:[^\S\n]|[*_>-])*+used(?: items?)?(?:[^\S\n]|[*_])*+[:：](.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER = re.compile(
    r"^(?:[^\S\n]|[*_>-])*+answer(?:[^\S\n]|[*_])*+[:：][\s*_]*+", re.IGNORECASE | re.MULTILINE
)
_NUMBER = re.compile(r"\d{1,6}")
_FILLER = re.compile(r"\b(?:items?|and|none)\b|[\s\[\](){},;#*&，、；]", re.IGNORECASE)


class PromptedReader:
    """Answers questions with any `Backend`.

    Args:
        backend: the model.
        sampling: how replies are drawn; its `max_tokens` is replaced by that of the question.
        max_prompt_tokens: the last-ranked items are left out until the prompt fits.
        max_tokens: longest reply; None means the question's answer_tokens and room for the frame.
        prompt: name and version of the prompt file.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        sampling: Sampling = _SAMPLING,
        max_prompt_tokens: int = MAX_PROMPT_TOKENS,
        max_tokens: int | None = None,
        prompt: str = PROMPT,
    ) -> None:
        self.backend = backend
        self.sampling = sampling
        self.max_prompt_tokens = max_prompt_tokens
        self.max_tokens = max_tokens
        self.prompt = load_prompt(prompt)

    @property
    def version(self) -> str:
        """Model, prompt, temperature, and which media it is shown."""
        sees = "".join(f" sees={kind}" for kind in sorted(seen(self.backend)))
        return f"{self.backend.model} {self.prompt.version} t={self.sampling.temperature:g}{sees}"

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """One `Answer` per request, in order; one batch, and more only for prompts too long.

        Raises:
            BackendError: the model cannot be used at all.
        """
        shown = {number: self._fitting(request) for number, request in enumerate(requests)}
        answers = [Answer("", failed=True)] * len(requests)
        while shown:
            chats = [self._chat(requests[number], count) for number, count in shown.items()]
            with spending_as(READER):
                replies = self.backend.complete(chats)
            again = {}
            for (number, count), reply in zip(shown.items(), replies, strict=True):
                if reply.failure is Failure.TOO_LONG and count:
                    again[number] = count // 2
                elif reply.failure is None:
                    text, used = parse_reply(reply.text, count)
                    silent = not text and (reply.cut or not strip_reasoning(reply.text).strip())
                    answers[number] = Answer(text, used, failed=silent, tokens=reply.tokens)
            shown = again
        return answers

    def _reply_tokens(self, request: ReadRequest) -> int:
        return self.max_tokens or request.answer_tokens + _FRAME_TOKENS

    def _fitting(self, request: ReadRequest) -> int:
        """How many of the items, best first, fit the prompt."""
        limit = self.max_prompt_tokens
        if self.backend.context_tokens is not None:
            limit = min(limit, self.backend.context_tokens - self._reply_tokens(request))
        bare = "\n".join(message.content for message in self._chat(request, 0).messages)
        left = limit - self.backend.count_tokens(bare) - _FRAME_TOKENS
        for count, item in enumerate(request.items):
            left -= self.backend.count_tokens(render_item(count + 1, item)) + 1
            left -= sum(medium.tokens for medium in self._media(request, count, count + 1))
            if left < 0:
                return count
        return len(request.items)

    def _media(self, request: ReadRequest, start: int, stop: int) -> tuple[Medium, ...]:
        """What items from `start` to `stop` keep that the model takes, each once."""
        kinds = seen(self.backend)
        kept = (one for media in request.media[start:stop] for one in media)
        return tuple(dict.fromkeys(one for one in kept if one.kind in kinds and one.data))

    def _chat(self, request: ReadRequest, count: int) -> ChatRequest:
        items = [render_item(i + 1, item) for i, item in enumerate(request.items[:count])]
        user = self.prompt.fill(
            "user",
            items="\n".join(items) or self.prompt.sections["empty"],
            task=self._task(request),
            question=request.query_prefix + request.question,
        )
        if request.core:
            user = f"{self.prompt.fill('core', core=request.core)}\n\n{user}"
        return ChatRequest(
            messages=(
                Message("system", self.prompt.sections["system"]),
                Message("user", user, self._media(request, 0, count)),
            ),
            sampling=dataclasses.replace(self.sampling, max_tokens=self._reply_tokens(request)),
            prompt=self.prompt.version,
        )

    def _task(self, request: ReadRequest) -> str:
        choices = (f"{chr(ord('A') + i)}. {text}" for i, text in enumerate(request.choices))
        values = {
            "words": str(max(1, int(request.answer_tokens * _WORDS_PER_TOKEN))),
            "choices": "\n".join(choices),
        }
        kind = "choice" if request.choices else request.task
        return self.prompt.fill(kind, **values)


def parse_reply(reply: str, shown: int) -> tuple[str, tuple[tuple[int, int | None], ...]]:
    """The answer in a reply, and the items it names as used.

    Args:
        reply: the model's text; reasoning in <think> tags is left out.
        shown: how many items the prompt held, numbered from 1.

    Returns:
        The text after the last "Answer:" (else the whole reply) without the line "Used: …", and the
        0-based items of that line, each with sentence None. The items are empty when the line is
        missing, holds anything but numbers, or names an item that was not shown.
    """
    text = strip_reasoning(reply)
    lines = _USED.findall(text)
    text = _USED.sub("", text)
    starts = list(_ANSWER.finditer(text))
    if starts:
        text = text[starts[-1].end() :]
    return text.strip(), _parse_used(lines[-1], shown) if lines else ()


def _parse_used(line: str, shown: int) -> tuple[tuple[int, int | None], ...]:
    if _FILLER.sub("", _NUMBER.sub("", line.rstrip(" .*。"))):
        return ()
    numbers = [int(number) for number in _NUMBER.findall(line)]
    if not all(1 <= number <= shown for number in numbers):
        return ()
    return tuple((number - 1, None) for number in dict.fromkeys(numbers))

"""From what the `openai` client returns or raises to a completion, a failure, or neither."""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

from finemem_env.backends.base import Completion, Failure
from finemem_env.backends.retry import Refused, retry_after

_PASSING = frozenset((408, 409, 425))
# What servers say of a prompt that does not fit: OpenAI, vLLM, llama.cpp, SGLang, TGI.
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|(?:maximum|available) context|context (?:length|"
    r"window|size)|max_model_len|(?:prompt|input) is (?:too|longer)|too many tokens|"
    r"longer than the (?:model|maximum)|must have less than",
    re.IGNORECASE,
)
_LONGEST_DETAIL = 300


def read_reply(reply: Any) -> Completion | Refused:  # noqa: ANN401
    """A `ChatCompletion` as a completion; tool calls become the JSON text that agents write."""
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list):
        return Refused(Failure.MALFORMED, "the reply is not a chat completion")
    if not choices:
        return Refused(Failure.EMPTY, "the list of choices is empty")
    message = getattr(choices[0], "message", None)
    if message is None:
        return Refused(Failure.MALFORMED, "the first choice holds no message")
    if choices[0].finish_reason == "content_filter":
        return Refused(Failure.REJECTED, "stopped by the content filter")
    usage = getattr(reply, "usage", None)
    return Completion(
        text=_text(message),
        prompt_tokens=getattr(usage, "prompt_tokens", 0) or 0,
        completion_tokens=getattr(usage, "completion_tokens", 0) or 0,
        cut=choices[0].finish_reason == "length",
    )


def _text(message: Any) -> str:  # noqa: ANN401
    text = message.content if isinstance(message.content, str) else ""
    calls = getattr(message, "tool_calls", None) or []
    if not calls:
        return text
    record = {
        "tool_calls": [
            {"function": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in calls
        ]
    }
    return f"{text}\n{json.dumps(record, ensure_ascii=False)}".strip()


def read_error(error: Exception, key: str, model: str) -> Refused | None:
    """What an exception of the client means; None when no further attempt can help anyone.

    Args:
        error: as raised by `chat.completions.create`.
        key: taken out of every text.
        model: the model that was asked for.
    """
    openai = importlib.import_module("openai")
    detail = said(error, key)
    if isinstance(error, openai.APITimeoutError):
        return Refused(Failure.TIMEOUT, detail)
    if isinstance(error, openai.APIStatusError):
        return _read_status(error, detail, model)
    if isinstance(error, openai.APIResponseValidationError | json.JSONDecodeError):
        return Refused(Failure.MALFORMED, f"the reply is not valid JSON: {detail}")
    if isinstance(error, UnicodeDecodeError):
        return Refused(Failure.MALFORMED, f"the reply is not UTF-8: {detail}")
    if isinstance(error, openai.APIConnectionError):
        return Refused(Failure.CONNECTION, detail)
    return None


def said(error: Exception, key: str) -> str:
    """One line of what an error says, the body of the reply included, without the key."""
    body = getattr(error, "body", None)
    text = str(error) if not body or "message" in str(body) else f"{error} {body}"
    return " ".join(text.replace(key, "[key]").split())[:_LONGEST_DETAIL]


def _read_status(error: Any, detail: str, model: str) -> Refused | None:  # noqa: ANN401
    status: int = error.status_code
    wait = retry_after(error.response.headers)
    if status == 429:
        spent = getattr(error, "code", None) == "insufficient_quota"
        return None if spent else Refused(Failure.RATE_LIMIT, detail, status, wait)
    if status >= 500 or status in _PASSING:
        return Refused(Failure.SERVER, detail, status, wait)
    if status in (401, 403, 404):
        return None
    if status == 413 or _TOO_LONG.search(f"{error} {error.body}"):
        return Refused(Failure.TOO_LONG, detail, status)
    # A complaint about the model or a setting concerns every request, any other this one alone.
    setting = str(getattr(error, "param", None) or "messages")
    if model in f"{error} {error.body}" or not setting.startswith("messages"):
        return None
    return Refused(Failure.REJECTED, detail, status)

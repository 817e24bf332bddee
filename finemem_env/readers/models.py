"""Readers and judges on language models, by name and options."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finemem_env.backends import Backend, ChatRequest, Completion, Message, Sampling
from finemem_env.backends.cached import CachedBackend
from finemem_env.backends.disk_cache import DiskCache
from finemem_env.backends.options import check_number, read_options
from finemem_env.backends.registry import backend_options, make_backend
from finemem_env.backends.usage import JUDGE, spending_as
from finemem_env.errors import ConfigError, nearest
from finemem_env.pretrained import CACHE_VARIABLE, cache_folder
from finemem_env.readers.prompted import MAX_PROMPT_TOKENS, PROMPT, PromptedReader
from finemem_env.scoring import strip_reasoning
from finemem_env.types import Answer, JudgeRequest


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What a model reader is told beside its backend's options.

    `temperature`, `top_p` and `seed`: how replies are drawn. `max_tokens`: longest reply, None for
    the question's answer_tokens and the frame. `max_prompt_tokens`: bound on the prompt, kept by
    leaving out items. `prompt`: name and version of the prompt. `cache`: file of the disk cache,
    None for $FINEMEM_CACHE (in a folder: replies.sqlite), "" for none.
    """

    temperature: float = 0.1
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    max_prompt_tokens: int = MAX_PROMPT_TOKENS
    prompt: str = PROMPT
    cache: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_number("reader", "temperature", self.temperature, 0)
        check_number("reader", "top_p", self.top_p, 0, 1, above=True)
        check_number("reader", "max_prompt_tokens", self.max_prompt_tokens, 1)
        if self.max_tokens is not None:
            check_number("reader", "max_tokens", self.max_tokens, 1)

    @property
    def sampling(self) -> Sampling:
        """How replies are drawn."""
        return Sampling(self.temperature, self.top_p, seed=self.seed)


def split_options(config: Mapping[str, object]) -> tuple[ReaderOptions, dict[str, object]]:
    """The reader's own options, and what is left for the backend, its name included.

    Raises:
        ConfigError: an unknown backend or option, or a value that does not fit.
    """
    name = str(config.get("name"))
    own = [field.name for field in dataclasses.fields(ReaderOptions)]
    known = {*own, *backend_options(name)}
    for key in config:
        if key != "name" and key not in known:
            raise ConfigError(nearest(f"option of {name!r}", key, known))
    mine = {key: value for key, value in config.items() if key in own}
    rest = {key: value for key, value in config.items() if key not in own}
    return read_options(ReaderOptions, mine, f"reader {name!r}"), rest


def with_cache(backend: Backend, cache: str | None) -> Backend:
    """`backend` behind the disk cache that is named by option or environment, if any is.

    Raises:
        ConfigError: the file cannot be used.
    """
    path: str | Path = os.environ.get(CACHE_VARIABLE, "") if cache is None else cache
    if cache is None and path and Path(path).expanduser() == cache_folder():
        path = cache_folder() / "replies.sqlite"
    return CachedBackend(backend, DiskCache(path)) if path else backend


def make_model_reader(config: Mapping[str, object]) -> PromptedReader:
    """The reader that `config` describes: a backend's name and options, and `ReaderOptions`.

    Raises:
        ConfigError: see `split_options` and `make_backend`.
    """
    options, rest = split_options(config)
    return PromptedReader(
        with_cache(make_backend(rest), options.cache),
        sampling=options.sampling,
        max_prompt_tokens=options.max_prompt_tokens,
        max_tokens=options.max_tokens,
        prompt=options.prompt,
    )


class ModelJudge:
    """Sends grading prompts to a backend: the `Judge` of judged metrics and of written content.

    Args:
        backend: the model.
        seed: of its sampling, None for none.
    """

    def __init__(self, backend: Backend, seed: int | None = None) -> None:
        self.backend = backend
        self.seed = seed

    @property
    def version(self) -> str:
        """The model; every request names its prompt."""
        return f"{self.backend.model} judge"

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Answer]:
        """The reply to each request, in order; a call that failed is a failed `Answer`.

        So is one whose reply is empty, cut at its length, or nothing but reasoning: what the judge
        would have said is not known.

        Raises:
            BackendError: the model cannot be used at all.
        """
        with spending_as(JUDGE):
            replies = self.backend.complete([self._chat(request) for request in requests])
        return [Answer(one.text, failed=_says_nothing(one), tokens=one.tokens) for one in replies]

    def _chat(self, request: JudgeRequest) -> ChatRequest:
        return ChatRequest(
            (Message("user", request.text),),
            Sampling(request.temperature, max_tokens=request.max_tokens, seed=self.seed),
            prompt=request.prompt,
        )


def _says_nothing(reply: Completion) -> bool:
    cut_short = reply.failure is not None or reply.cut
    return cut_short or not strip_reasoning(reply.text).strip()


def make_model_judge(config: Mapping[str, object]) -> ModelJudge:
    """The judge that `config` describes, with the options of a reader.

    Temperature and length of a reply come with each request, so `temperature`, `top_p`,
    `max_tokens`, `max_prompt_tokens` and `prompt` are refused.

    Raises:
        ConfigError: see `split_options` and `make_backend`.
    """
    taken = ("seed", "cache")
    for field in dataclasses.fields(ReaderOptions):
        if field.name in config and field.name not in taken:
            raise ConfigError(f"judge: {field.name} is set by the metric, not by an option.")
    if config.get("sees"):
        raise ConfigError("judge: sees is for readers and managers; a judge is shown texts alone.")
    options, rest = split_options(config)
    return ModelJudge(with_cache(make_backend(rest), options.cache), options.seed)

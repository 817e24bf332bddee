"""A `Backend` made of a chat template and a sampler: what transformers and vLLM have in common."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from finemem_env.backends.base import ChatRequest, Completion, Failure, Sampling
from finemem_env.backends.sampler import Sample, Sampler
from finemem_env.backends.template import ChatTemplate
from finemem_env.backends.usage import Usage, spend
from finemem_env.text import TextCache


class GenerationBackend:
    """Answers chats by sampling token ids, all requests of one sampling setting as one batch.

    Args:
        model: the model's name.
        template: encodes and decodes.
        sampler: the engine.
    """

    def __init__(self, model: str, template: ChatTemplate, sampler: Sampler) -> None:
        self.model = model
        self.template = template
        self.sampler = sampler
        self._counts: TextCache[int] = TextCache(template.count)

    @property
    def context_tokens(self) -> int | None:
        """The model's context."""
        return self.sampler.context_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, exactly."""
        return self._counts[text]

    def complete(self, requests: Sequence[ChatRequest]) -> list[Completion]:
        """One `Completion` per request, in order.

        Raises:
            BackendError: the engine cannot run them.
        """
        start = time.perf_counter()
        prompts = self.template.encode_all(requests)
        replies: list[Completion] = [Completion(failure=Failure.TOO_LONG)] * len(requests)
        groups: dict[Sampling, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            if self._fits(prompts[number], request.sampling):
                groups[request.sampling].append(number)
        for sampling, numbers in groups.items():
            samples = self.sampler.sample([prompts[number] for number in numbers], sampling)
            for number, sample in zip(numbers, samples, strict=True):
                replies[number] = self._completion(len(prompts[number]), sample)
        spend(
            Usage(
                sum(map(len, groups.values())),
                sum(reply.prompt_tokens for reply in replies),
                sum(reply.completion_tokens for reply in replies),
                time.perf_counter() - start,
            )
        )
        return replies

    def _fits(self, prompt: Sequence[int], sampling: Sampling) -> bool:
        limit = self.context_tokens
        return limit is None or len(prompt) + sampling.max_tokens <= limit

    def _completion(self, prompt_tokens: int, sample: Sample | None) -> Completion:
        if sample is None:
            return Completion(failure=Failure.CONNECTION, detail="the engine gave no reply in time")
        return Completion(
            text=self.template.decode(sample.token_ids),
            prompt_tokens=prompt_tokens,
            completion_tokens=len(sample.token_ids),
            cut=not sample.finished,
        )

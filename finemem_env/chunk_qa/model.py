"""The generator that asks a language model, as in Fine-Mem's data pipeline (§4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from finemem_env.backends import Backend, ChatRequest, Completion, Message, Sampling
from finemem_env.chunk_qa.candidates import CandidateQuestion, ChunkJob, holding_sentence
from finemem_env.operations import find_values
from finemem_env.prompts import load_prompt
from finemem_env.scoring import strip_reasoning

PROMPT = "chunk_questions/1"
_TOKENS_EACH = 60  # of a question with its answer and JSON, generously


class ModelGenerator:
    """Writes questions about a chunk in one call.

    Args:
        backend: the model.
        count: questions to ask for; more than are kept, since some will not be answerable.
        sampling: how replies are drawn; `max_tokens` is set from `count`.
        prompt: name and version of the prompt file.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        count: int = 10,
        temperature: float = 0.7,
        seed: int | None = None,
        prompt: str = PROMPT,
    ) -> None:
        self.backend = backend
        self.count = count
        self.prompt = load_prompt(prompt)
        self.sampling = Sampling(temperature, max_tokens=_TOKENS_EACH * count, seed=seed)

    @property
    def version(self) -> str:
        """Model, prompt and temperature."""
        temperature = self.sampling.temperature
        return f"{self.backend.model} {self.prompt.version} t={temperature:g} n={self.count}"

    def generate(self, jobs: Sequence[ChunkJob]) -> list[list[CandidateQuestion] | None]:
        """Candidates for each job, in the model's order.

        None where the call failed, or said nothing beside its reasoning.

        Raises:
            BackendError: the model cannot be used at all.
        """
        replies = self.backend.complete([self._chat(job) for job in jobs])
        return [_read(reply, job.text) for reply, job in zip(replies, jobs, strict=True)]

    def _chat(self, job: ChunkJob) -> ChatRequest:
        time = job.episode.chunks[job.chunk].time
        user = self.prompt.fill(
            "user",
            text=job.text,
            count=str(self.count),
            time=f"Time: {time}\n" if time else "",
        )
        system = Message("system", self.prompt.sections["system"])
        return ChatRequest((system, Message("user", user)), self.sampling, self.prompt.version)


def _read(reply: Completion, text: str) -> list[CandidateQuestion] | None:
    said = strip_reasoning(reply.text)
    if reply.failure is not None or not said.strip():
        return None
    candidates = []
    for record in _records(find_values(said)):
        question, answer = record.get("question"), record.get("answer")
        if isinstance(question, str) and isinstance(answer, str):
            question, answer = " ".join(question.split()), answer.strip().rstrip(".")
            candidates.append(
                CandidateQuestion(question, answer, holding_sentence(text, question, answer))
            )
    return candidates


def _records(values: Sequence[object]) -> Iterator[dict[str, Any]]:
    """Every object of a reply; a list that was cut off keeps its whole ones."""
    for value in values:
        if isinstance(value, dict):
            wrapped = value.get("questions")
            yield from _records(wrapped) if isinstance(wrapped, list) else (value,)
        elif isinstance(value, list):
            yield from _records(value)

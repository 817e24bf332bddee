"""How many calls and tokens a training step or a benchmark takes: arithmetic, no model.

A training step of Fine-Mem is C contexts × G rollouts, each of T chunks:

    manager            C·G·T calls
    chunk questions    C·G·Σ_t min(K, available)
    final questions    C·G·max(1, round(f·n))
    leave-one-out      up to top_k calls more per final question that scored
    judged content     one call per write (reward mem-alpha)

Lengths are averages: what the manager writes of a chunk, and the size of an item, are assumptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finemem_env.prompts import INSTRUCTIONS, load_prompt
from finemem_env.settings import Settings
from finemem_env.text import approx_tokens
from finemem_env.types import Episode

_OBSERVATION_FRAME = 40  # tags and counts around chunk and memory
_OPERATION_FRAME = 15  # JSON around one written item
_READER_FRAME = 20  # "Answer:", "Used:" and what opens and closes turns
_JUDGE_PROMPT, _JUDGE_REPLY = 350, 60


@dataclass(frozen=True, slots=True)
class Shape:
    """An average episode: `chunk_questions` are those available per chunk, lengths in tokens."""

    chunks: float
    chunk_tokens: float
    finals: float
    chunk_questions: float
    question_tokens: float = 15.0


# Mem-α's sampled training set (arXiv 2509.25911, table 7), with Fine-Mem's five chunk questions.
PUBLISHED = Shape(chunks=10.0, chunk_tokens=1100.0, finals=100.0, chunk_questions=5.0)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What depends on the manager. `written`: share of a chunk that it writes down.

    `item_tokens`: size of an item. `answer_tokens`: a reader's answer. `scored`: share of final
    questions with a score above 0, which are those that leave-one-out asks again. Mem-α's memories
    hold 60–75 % of the input.
    """

    written: float = 0.7
    item_tokens: float = 100.0
    answer_tokens: float = 10.0
    scored: float = 0.6


@dataclass(frozen=True, slots=True)
class ModelCalls:
    """Calls of one kind: how many, and the average tokens of prompt and reply."""

    kind: str
    calls: float
    prompt: float
    reply: float

    @property
    def prompt_tokens(self) -> float:
        """All prompt tokens."""
        return self.calls * self.prompt

    @property
    def reply_tokens(self) -> float:
        """All reply tokens."""
        return self.calls * self.reply


def measure_shape(episodes: Sequence[Episode]) -> Shape:
    """The average of some episodes, in approximate tokens."""
    chunks = [chunk for episode in episodes for chunk in episode.chunks]
    finals = [question for episode in episodes for question in episode.questions]
    count = len(episodes)
    return Shape(
        chunks=len(chunks) / count,
        chunk_tokens=sum(approx_tokens(chunk.text) for chunk in chunks) / len(chunks),
        finals=len(finals) / count,
        chunk_questions=sum(len(chunk.questions) for chunk in chunks) / len(chunks),
        question_tokens=sum(approx_tokens(final.question) for final in finals) / len(finals),
    )


def costs(
    shape: Shape, settings: Settings, rollouts: float, assumed: Assumptions | None = None
) -> list[ModelCalls]:
    """The calls of `rollouts` episodes under `settings`; kinds that need none are left out.

    Args:
        shape: of an episode.
        settings: protocol, reward and the rest, as an environment resolves them.
        rollouts: episodes played: contexts × rollouts of each, or agents × episodes.
        assumed: lengths that the manager decides.
    """
    assumed = assumed or Assumptions()
    memory = _memory_tokens(shape, settings, assumed)
    finals = rollouts * max(1.0, round(settings.question_fraction * shape.finals))
    item, top = assumed.item_tokens, float(settings.top_k)
    written = assumed.written * shape.chunk_tokens
    reward = settings.reward
    manager_prompt = approx_tokens(INSTRUCTIONS) + _OBSERVATION_FRAME + shape.chunk_tokens
    calls = [
        ModelCalls(
            "manager",
            rollouts * shape.chunks,
            manager_prompt + memory,
            written * (1 + _OPERATION_FRAME / item),
        )
    ]
    if reward.weights.chunk_qa or settings.measure_chunk_questions:
        questions = _chunk_questions(shape, settings)
        calls.append(_read("chunk questions", rollouts * questions, shape, top * item, assumed))
    calls.append(_read("final questions", finals, shape, top * item, assumed))
    if reward.beta > 0 and not reward.broadcast:
        extra = {"leave_one_out": assumed.scored, "cited": 0.0}.get(reward.attribution, 0.0)
        again = finals * extra * top
        calls.append(_read("leave-one-out", again, shape, (top - 1) * item, assumed))
    if reward.weights.content and settings.judge is not None:
        writes = rollouts * shape.chunks * written / item
        calls.append(ModelCalls("content judge", writes, _JUDGE_PROMPT + item, _JUDGE_REPLY))
    return [call for call in calls if call.calls]


def _read(kind: str, calls: float, shape: Shape, items: float, assumed: Assumptions) -> ModelCalls:
    prompt = approx_tokens(load_prompt("read/1").sections["system"]) + _READER_FRAME
    return ModelCalls(
        kind, calls, prompt + items + shape.question_tokens, assumed.answer_tokens + _READER_FRAME
    )


def _chunk_questions(shape: Shape, settings: Settings) -> float:
    """Questions asked in an episode: K a step, fewer while fewer are available."""
    most = float(settings.chunk_questions)
    if settings.chunk_question_scope == "current":
        return shape.chunks * min(most, shape.chunk_questions)
    steps = round(shape.chunks)
    return sum(min(most, shape.chunk_questions * (t + 1)) for t in range(steps))


def _memory_tokens(shape: Shape, settings: Settings, assumed: Assumptions) -> float:
    """The memory that an average step sees: it grows by what is written until it is full."""
    total = shape.chunks * shape.chunk_tokens
    budget = settings.memory_budget
    limit = total if budget is None else budget * total if isinstance(budget, float) else budget
    steps = max(1, round(shape.chunks))
    held = [min(limit, t * assumed.written * shape.chunk_tokens) for t in range(steps)]
    return sum(held) / steps

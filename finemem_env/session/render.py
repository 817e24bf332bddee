"""What a person sees of an episode: plain text, one block per step."""

from __future__ import annotations

from finemem_env.console import visible
from finemem_env.session.records import Asked, StepResult
from finemem_env.session.session import Session

_WIDTH = 100


def render_text(session: Session) -> str:
    """The last action with its outcome and reward, then what the manager sees next."""
    parts = []
    if session.record.results:
        parts.append(_step(session, session.record.results[-1]))
    parts.append(session.observe())
    return "\n".join(parts) + "\n"


def _step(session: Session, result: StepResult) -> str:
    action = session.record.actions[-1]
    lines = [f"--- step {session.step_index - 1}: {_short(action)}"]
    for operation in result.operations:
        item = "" if operation.item_id is None else f" [{operation.item_id}]"
        lines.append(f"    {operation.name or '?'}{item}: {operation.reason or 'accepted'}")
    lines += [f"    chunk question: {_answer(question)}" for question in result.chunk_answers]
    lines += [f"    final question: {_answer(question)}" for question in result.answers]
    terms = "  ".join(f"{name} {value:.3f}" for name, value in result.terms.items())
    lines.append(f"    reward {result.reward:.3f}   ({terms})")
    return "\n".join(lines)


def _answer(asked: Asked) -> str:
    gold = " / ".join(asked.question.answers[:2])
    said = "(reader failed)" if asked.answer.failed else asked.answer.text
    return f"{asked.score:.2f}  {_short(asked.question.question)} -> {_short(said)} (gold: {gold})"


def _short(text: str) -> str:
    return visible(text, _WIDTH)

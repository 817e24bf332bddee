"""Findings as lines of a terminal; text of agents and data is shown and never obeyed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finemem_env.console import visible
from finemem_env.inspect import Finding, Recorded, episode_score
from finemem_env.trace import Trace

_TEXT = 60  # characters of a question, half of it of an answer


def episode_lines(recorded: Recorded, findings: Sequence[Finding], problem: str) -> Iterator[str]:
    """A heading, then one line for every final question.

    Args:
        recorded: the trace and where it was.
        findings: of its questions.
        problem: why its memory could not be told, "" if it could.
    """
    trace = recorded.trace
    place = [recorded.task, recorded.budget and f"budget {recorded.budget}", trace.agent]
    yield visible(
        f"{' '.join(filter(None, place))}, episode {trace.episode} ({trace.episode_id}): "
        f"score {episode_score(findings):.3f}, memory {_memory(trace)} tokens"
    )
    if problem:
        yield f"  {problem}"
    yield from (finding_line(finding, trace.episode_id) for finding in findings)


def finding_line(finding: Finding, episode_id: str = "") -> str:
    """What became of one question; `episode_id` is left out where its id starts with it."""
    answer = finding.answer
    said = "(reader failed)" if answer.failed else answer.prediction or "(nothing)"
    name = visible(answer.id.removeprefix(f"{episode_id}/"), 20)
    parts = [
        f"{finding.outcome:<8} {answer.score:.2f}  {name}",
        finding.text,
        _evidence(finding),
        _credit(finding),
        f"{visible(answer.question, _TEXT)} -> {visible(said, _TEXT // 2)}"
        + ("" if finding.outcome == "answered" else f", gold {_golds(finding)}"),
    ]
    return "  " + "; ".join(filter(None, parts))


def _memory(trace: Trace) -> str:
    budget = trace.memory_budget
    return f"{trace.memory_tokens}" + (f" of {budget}" if budget is not None else "")


def _evidence(finding: Finding) -> str:
    """The chunks of the evidence; where there are several, with what became of each."""
    trails = [trail for trail in finding.trails if trail.chunk >= 0]
    if not trails:
        return ""
    parts = sorted(
        dict.fromkeys((trail.chunk, trail.text) for trail in trails), key=lambda part: part[0]
    )
    if len(trails) == 1 or len({trail.where for trail in trails}) == 1:
        return "evidence " + ", ".join(str(chunk) for chunk, _ in parts)
    return "evidence " + ", ".join(f"{chunk} {text}" for chunk, text in parts)


def _credit(finding: Finding) -> str:
    credit = finding.answer.credit
    if finding.outcome == "failed" or not credit:
        return ""
    return "credit " + " ".join(f"{step}:{part:.3f}" for step, part in credit)


def _golds(finding: Finding) -> str:
    return " / ".join(visible(gold, _TEXT // 2) for gold in finding.answer.golds[:2]) or "(none)"

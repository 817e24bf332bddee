"""What TensorBoard shows beside numbers: distributions, and one episode of each evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agents.learn.advantages import Advantages
from agents.learn.rollout import Rollout
from baselines.tables.charts import GridRow, grid_chart
from baselines.tables.drawing import Drawing
from finemem_env.cli.tables import markdown_table
from finemem_env.console import visible
from finemem_env.inspect import Finding, Story, find, tell
from finemem_env.trace import Trace, TraceAnswer, record_trace

_CHUNK, _REPLY, _ITEM, _ANSWER = 2000, 1000, 200, 120  # characters that are shown
_MOST_ITEMS = 30
_STEPS, _ROWS, _COLUMNS = 20, 40, 40  # of the text, and of the map


def histograms(rollouts: Sequence[Rollout], advantages: Advantages) -> dict[str, list[float]]:
    """Values whose distribution says more than their mean: rewards, advantages, memories."""
    return {
        "histogram/reward": [float(r) for run in rollouts for r in run.rewards().step_rewards],
        "histogram/advantage": [float(a) for values in advantages.values for a in values],
        "histogram/memory_tokens": [
            float(run.session.memory.tokens) for run in rollouts if run.whole
        ],
    }


def joined(parts: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    """The values of all processes."""
    return {key: [value for part in parts for value in part[key]] for key in parts[0]}


def sample(rollout: Rollout) -> tuple[str, Drawing]:
    """The text (Markdown) and the credit map of a finished rollout."""
    trace = record_trace(rollout.session)
    story = tell(trace)
    findings = find(trace, story)
    return _text(trace, story, findings), _credit_map(trace, findings)


def _credit_map(trace: Trace, findings: Sequence[Finding]) -> Drawing:
    """Final questions against steps: credit, evidence framed, a cross where it was lost."""
    columns = min(len(trace.steps), _COLUMNS)
    rows = [
        GridRow(
            f"{_name(trace, finding.answer)}: {finding.where}",
            dict(finding.answer.credit or ()),
            frozenset(evidence.chunk for evidence in finding.answer.evidence or ()),
            None if finding.outcome == "answered" or finding.trail is None else finding.trail.step,
        )
        for finding in findings[:_ROWS]
    ]
    cut = columns < len(trace.steps) or len(rows) < len(findings)
    title = "credit of the final answers by step; evidence framed, lost crossed out"
    return grid_chart(rows, columns, "step", title + " (the first of them)" * cut)


def _text(trace: Trace, story: Story, findings: Sequence[Finding]) -> str:
    """Every final question and the first steps; agent text and data are shown, never obeyed."""
    lost = [finding for finding in findings if finding.outcome != "answered"]
    budget = f" of {trace.memory_budget}" if trace.memory_budget is not None else ""
    head = (
        f"**{_safe(trace.episode_id)}**: {len(findings) - len(lost)} of {len(findings)} final "
        f"questions answered, memory {trace.memory_tokens}{budget} tokens, "
        f"reward {sum(trace.step_rewards):.3f}"
    )
    steps = [part for t in range(len(trace.steps))[:_STEPS] for part in _step(trace, story, t)]
    if len(trace.steps) > _STEPS:
        steps.append("The other steps: `python -m finemem_env view` with the folder of the run.")
    answered = [finding for finding in findings if finding.outcome == "answered"]
    return "\n\n".join([head, *_finals(trace, lost, answered), *steps])


def _finals(trace: Trace, lost: Sequence[Finding], answered: Sequence[Finding]) -> Iterator[str]:
    yield f"### Final questions, {len(lost)} of them lost"
    rows = []
    for finding in (*lost, *answered):
        answer, golds = finding.answer, " / ".join(finding.answer.golds[:2])
        name, told = _name(trace, answer), finding.text or finding.outcome
        cells = (name, answer.question, _said(answer), golds, told)
        rows.append([_safe(cell, _ANSWER) for cell in cells])
    yield markdown_table(["", "question", "answer", "gold", "where"], rows)


def _step(trace: Trace, story: Story, t: int) -> Iterator[str]:
    step, count = trace.steps[t], len(trace.steps)
    tokens = "" if step.memory_tokens is None else f", memory {step.memory_tokens} tokens"
    yield f"### Step {t} of {count}: reward {trace.step_rewards[t]:.3f}{tokens}"
    yield f"**read** {_safe(step.chunk or '', _CHUNK)}"
    done = ", ".join(
        f"{operation.name} {'accepted' if operation.reason is None else operation.reason}".strip()
        for operation in step.operations
    )
    yield f"**replied** {_safe(step.action, _REPLY)}: {_safe(done or 'nothing')}"
    if not story.problem:
        yield _memory(story, t)
    for answer in step.answers:
        yield (
            f"**asked** {_safe(answer.question, _ANSWER)} → {_safe(_said(answer), _ANSWER)} "
            f"({answer.score:.2f})"
        )


def _memory(story: Story, t: int) -> str:
    items = [life.item for life in story.at(t)]
    shown = [f"- [{item.id}] {_safe(item.content, _ITEM)}" for item in items[-_MOST_ITEMS:]]
    more = len(items) - len(shown)
    before = [f"- {more} items before these"] if more else []
    return "\n".join(["**memory**", "", *before, *shown]) if items else "**memory** (empty)"


def _said(answer: TraceAnswer) -> str:
    return "(reader failed)" if answer.failed else answer.prediction or "(nothing)"


def _name(trace: Trace, answer: TraceAnswer) -> str:
    return answer.id.removeprefix(f"{trace.episode_id}/")


def _safe(text: str, width: int | None = None) -> str:
    """Text on one line in which nothing is Markdown or HTML: its signs are spelled as entities."""
    return re.sub(r"[^\w\s]", lambda sign: f"&#{ord(sign[0])};", visible(text, width))

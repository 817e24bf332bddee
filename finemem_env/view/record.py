"""One episode as the page's script reads it: plain, JSON-able, every text as it came.

{"agent": …, "task": …, "budget": …, "episode": 0, "id": …, "score": 0.5, "limit": 648,
 "input": 1600, "notes": ["…"], "settings": "…",
 "items": [[id, content, start, end or null, how, store, [steps of its sentences], [media]]],
 "media": {"m1": {"kind": "image", "text": …, "tokens": 12, "uri": "data:image/png;base64,…"}},
 "steps": [{"action": …, "ops": [[name, reason, id, content]], "reward": r_t,
            "parts": [evidence, rest, chunk questions, format, content], "credit": N_t,
            "tokens": 97, "chunk": …, "time": …, "media": ["m1"], "asked": [ASKED]}],
 "questions": [{ASKED…, "id": …, "outcome": …, "where": …, "text": …, "at": 9, "type": …,
                "metric": …, "evidence": [[chunk, sentence, what became of it]],
                "lost": step or null, "credit": [[step, part]]}]}
ASKED = {"question": …, "golds": [], "said": …, "score": 1, "failed": false,
         "shown": [[item id, place in items or null, cited]]}
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from finemem_env.inspect import Finding, Recorded, Story, episode_score, find, missing_notes, tell
from finemem_env.media import sniff
from finemem_env.trace import Trace, TraceAnswer
from finemem_env.types import Medium, Operation

Record = dict[str, Any]
PARTS = ("evidence credit", "even share and brevity", "chunk questions", "format", "content")
_SHOWN_SETTINGS = ("protocol", "memory", "memory_view", "top_k", "retriever", "max_read_tokens")


def record(recorded: Recorded) -> Record:
    """The episode of a trace with its findings."""
    trace = recorded.trace
    story = tell(trace)
    findings = find(trace, story)
    places = {(life.item.id, life.start): n for n, life in enumerate(story.lives)}
    old = trace.is_first_version
    golds_only = 0 if old else sum(finding.golds_only for finding in findings)
    return {
        "agent": trace.agent,
        "task": recorded.task,
        "budget": recorded.budget,
        "episode": trace.episode,
        "id": trace.episode_id,
        "score": episode_score(findings),
        "limit": trace.memory_budget,
        "input": trace.input_tokens,
        "notes": [*filter(None, [story.problem]), *missing_notes(1, int(old), golds_only, 0)],
        "settings": _settings(trace.settings),
        "items": [_item(life) for life in story.lives],
        "media": {medium.name: _medium(medium) for step in trace.steps for medium in step.media},
        "steps": [_step(trace, story, places, t) for t in range(len(trace.steps))],
        "questions": [_question(trace, story, places, finding) for finding in findings],
    }


def _settings(settings: Mapping[str, Any]) -> str:
    shown = []
    for name in _SHOWN_SETTINGS:
        value = settings.get(name)
        if isinstance(value, Mapping):
            value = value.get("name")
        if value is not None:
            shown.append(f"{name} {value}")
    return ", ".join(shown)


def _item(life: Any) -> list[object]:  # noqa: ANN401
    item = life.item
    steps = sorted({sentence.step for sentence in item.sentences})
    return [
        item.id,
        item.content,
        life.start,
        life.end,
        life.how,
        item.store,
        steps,
        list(item.media),
    ]


def _medium(medium: Medium) -> Record:
    """A medium with its bytes as an address; "" where there are none of its kind."""
    known = sniff(medium.data) if medium.data else None
    uri = ""
    if known is not None and known.kind == medium.kind:
        uri = f"data:{known.mime};base64,{base64.b64encode(medium.data).decode('ascii')}"
    return {"kind": medium.kind, "text": medium.text, "tokens": medium.tokens, "uri": uri}


_Places = Mapping[tuple[int, int], int]


def _step(trace: Trace, story: Story, places: _Places, t: int) -> Record:
    step = trace.steps[t]
    emitted = story.emitted[t] if not story.problem else ()
    contents = [parsed.content if isinstance(parsed, Operation) else None for parsed, _ in emitted]
    contents += [None] * (len(step.operations) - len(contents))
    return {
        "action": step.action,
        "ops": [
            [one.name, None if one.reason is None else str(one.reason), one.item_id, content]
            for one, content in zip(step.operations, contents, strict=True)
        ],
        "reward": trace.step_rewards[t],
        "parts": _parts(trace, t),
        "credit": trace.evidence_credit[t],
        "tokens": step.memory_tokens,
        "chunk": step.chunk,
        "time": step.time,
        "media": [medium.name for medium in step.media],
        "asked": [_asked(story, places, answer, t) for answer in step.answers],
    }


def _parts(trace: Trace, t: int) -> list[float]:
    """The attributed reward of a step by what it is made of, in the order of `PARTS`.

    All of it is "even share and brevity" where the trace does not say how it is weighted.
    """
    total = trace.step_rewards[t]
    reward, terms = trace.settings.get("reward"), trace.steps[t].terms
    try:
        weights = reward["weights"]  # type: ignore[index]
        valid = 1.0 if reward["earned"] else 0.0  # type: ignore[index]
        beta = 0.0 if reward["broadcast"] else reward["beta"]  # type: ignore[index]
        known = [
            float(beta * trace.evidence_credit[t]),
            float(weights["chunk_qa"] * terms["chunk_qa"]),
            float(weights["format"] * (terms["format"] - valid)),
            float(weights["content"] * terms["content"]),
        ]
    except (KeyError, TypeError, ValueError):
        known = [0.0] * 4
    if not all(map(math.isfinite, known)):
        known = [0.0] * 4
    return [known[0], total - sum(known), *known[1:]]


def _asked(story: Story, places: _Places, answer: TraceAnswer, at: int) -> Record:
    used = {index for index, _ in answer.used}
    return {
        "question": answer.question,
        "golds": list(answer.golds),
        "said": answer.prediction,
        "score": answer.score,
        "failed": answer.failed,
        "shown": [
            [item_id, _place(story, places, item_id, at), rank in used]
            for rank, item_id in enumerate(answer.shown)
        ],
    }


def _place(story: Story, places: _Places, item_id: int, at: int) -> int | None:
    life = story.item(item_id, at)
    return None if life is None else places[item_id, life.start]


def _question(trace: Trace, story: Story, places: _Places, finding: Finding) -> Record:
    answer, trail = finding.answer, finding.trail
    lost = None if finding.outcome == "answered" or trail is None else trail.step
    return {
        **_asked(story, places, answer, finding.at),
        "id": answer.id.removeprefix(f"{trace.episode_id}/"),
        "outcome": finding.outcome,
        "where": str(finding.where),
        "text": finding.text,
        "at": finding.at,
        "type": answer.type,
        "metric": answer.metric,
        "evidence": _evidence(finding),
        "lost": lost,
        "credit": [list(pair) for pair in answer.credit or ()],
    }


def _evidence(finding: Finding) -> Sequence[tuple[int, str | None, str]]:
    """(chunk, sentence, what became of it); what became is "" where it could not be followed."""
    trails = [trail.text for trail in finding.trails]
    evidence = finding.answer.evidence or ()
    texts = trails if len(trails) == len(evidence) else [""] * len(evidence)
    pairs = zip(evidence, texts, strict=True)
    return [(piece.chunk, piece.sentence, text) for piece, text in pairs]

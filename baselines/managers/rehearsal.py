"""Trying out what the oracle might store, with the reader, retriever and metric at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from baselines.agents import AGENTS, Agent, Info, PrivilegedAgent, make_agent
from baselines.managers.notes import Form, Key, key_of
from baselines.managers.plan import Plan
from finemem_env.env import MemoryEnv
from finemem_env.retrieval import BM25
from finemem_env.session import Session, public, run_step
from finemem_env.session.grading import Grader, Request
from finemem_env.types import Answer, JudgeRequest, Question

_LINES = (1, 3)  # labelled lines that are kept of every label
_FULL = 1.0 - 1e-9


class Script(NamedTuple):
    """Actions in the order of the steps."""

    actions: tuple[str, ...]

    def action(self, session: Session) -> str:
        """That of the current step."""
        return self.actions[session.step_index]


class Relay(NamedTuple):
    """Another's actions, and a plan for the last step, when most questions are asked."""

    script: Script
    plan: Plan

    def action(self, session: Session) -> str:
        """That of the current step."""
        last = session.step_index == session.num_chunks - 1
        return self.plan.action(session) if last else self.script.action(session)


Player = Plan | Script | Relay


class Trial(NamedTuple):
    """What an episode gave: mean final score, return, and the score of every question."""

    score: float
    total: float
    scores: Mapping[Key, float]
    plan: Player

    @property
    def full(self) -> bool:
        """Whether every question is answered."""
        return min(self.scores.values(), default=1.0) >= _FULL


def rehearsed(env: MemoryEnv, info: Info, rehearsals: int) -> Player:
    """The best of several plans for the episode that `env` is at the start of, all played.

    First every form of every note is read alone. Then plans with the sentences as they were told
    and with the shortest notes are played, and where the budget is short with notes that serve more
    and for the final questions first. The best is mended where questions fail; where some still do,
    the agents of the registry are played too.
    """
    plan = Plan(env.session, bold=rehearsals > 0)
    if not rehearsals:
        plan.shorten()
        return plan
    value = _alone(env)
    plan.prefer(value)
    best = max((_play(env, variant) for variant in _variants(plan)), key=_value)
    if not best.full and env.session.memory.budget is not None:
        best = max([best, *(_play(env, one) for one in _tight(plan, value))], key=_value)
    for _ in range(rehearsals - 1):
        if best.full:
            return best.plan
        mended = _mended(best)
        if mended is None:
            break
        best = max(best, _play(env, mended), key=_value)
    return best.plan if best.full else _with_others(env, info, best)


def _with_others(env: MemoryEnv, info: Info, own: Trial) -> Player:
    """The best of a plan, the agents that know no questions, and the plan after one of those."""
    watched = [_watch(env, info, agent) for agent in _others()]
    trials = [own, *watched]
    top = max(watched, key=lambda trial: trial.total)
    if top.total > own.total and isinstance(own.plan, Plan) and isinstance(top.plan, Script):
        trials.append(_play(env, Relay(top.plan, own.plan)))
    return max(trials, key=_value).plan


def _variants(plan: Plan) -> Iterator[Plan]:
    """The plan as told, with the shortest notes, and with few labelled lines of every label."""
    fitting, short = plan.copy(), plan.copy()
    fitting.shorten()
    short.shorten(everywhere=True)
    yield from (fitting, short)
    for each in _LINES:
        for thin in (plan.copy(), short.copy()):
            if thin.thin(each):
                yield thin


def _tight(plan: Plan, value: Callable[[Form, Question], float]) -> Iterator[Plan]:
    """Shortest notes for final questions first, then with notes that serve what they can."""
    alone, joined = plan.copy(), plan.copy()
    variants = [alone, joined, joined.copy()] if joined.join(value) else [alone]
    variants[0].finals_first = variants[-1].finals_first = True
    for variant in variants:
        variant.shorten(everywhere=True)
        yield variant


def _value(trial: Trial) -> tuple[float, float]:
    return trial.score, trial.total


def _mended(trial: Trial) -> Plan | None:
    """The plan with other notes for what failed; None when there are none."""
    if not isinstance(trial.plan, Plan):
        return None
    plan = trial.plan.copy()
    failing = [key for key, score in trial.scores.items() if score < _FULL]
    changed = [plan.change(key) for key in failing]
    return plan if any(changed) else None


def _others() -> list[Agent]:
    agents = (make_agent(name) for name in AGENTS if name not in ("oracle", "random"))
    return [agent for agent in agents if not isinstance(agent, PrivilegedAgent)]


def _fork(env: MemoryEnv) -> MemoryEnv:
    """A copy that pays the same return without asking again what each item was good for."""
    trial = env.fork()
    settings = trial.session.settings
    reward = dataclasses.replace(settings.reward, beta=0.0)
    trial.session.settings = dataclasses.replace(settings, reward=reward)
    return trial


def _play(env: MemoryEnv, plan: Player) -> Trial:
    trial = _fork(env)
    session, factory = trial.session, trial.factory
    while not session.terminated:
        run_step([session], [plan.action(session)], factory.reader, factory.judge)
    return _trial(session, plan)


def _watch(env: MemoryEnv, info: Info, agent: Agent) -> Trial:
    """What an agent that does not know the questions gets."""
    trial = _fork(env)
    session = trial.session
    agent.reset(info)
    observation, actions = session.observe(), []
    while not session.terminated:
        actions.append(agent.act(observation, info))
        observation, *_, told = trial.step(actions[-1])
        info = public(told)
    return _trial(session, Script(tuple(actions)))


def _trial(session: Session, plan: Player) -> Trial:
    results = session.record.results
    finals = [final for final, _ in session.record.finals]
    answers = [*(answer for result in results for answer in result.chunk_answers), *finals]
    scores: dict[Key, float] = {}
    for answer in answers:
        key = key_of(answer.question)
        scores[key] = min(answer.score, scores.get(key, 1.0))
    mean = results[-1].terms["global"]
    return Trial(mean, sum(result.reward for result in results), scores, plan)


def _alone(env: MemoryEnv) -> Callable[[Form, Question], float]:
    """How good the answer to a question is from a memory that holds nothing but a form.

    Where words are searched for, a form without any of the question's is not found.
    """
    values: dict[tuple[Form, Key], float] = {}

    def value(form: Form, question: Question) -> float:
        key = form, key_of(question)
        if key not in values:
            values[key] = _scored(env, form, question)
        return values[key]

    return value


def _scored(env: MemoryEnv, form: Form, question: Question) -> float:
    request = env.session.read_request(question, _found(env.session, form, question))
    answers = env.factory.reader.answer([request])
    grading = Grader().score(answers, [question])
    try:
        calls = next(grading)
        while True:
            calls = grading.send(_graded(env, calls))
    except StopIteration as stop:
        (score,) = stop.value
    return score or 0.0


def _found(session: Session, form: Form, question: Question) -> tuple[str, ...]:
    """The texts of a form that the session's retriever would find, in an empty memory."""
    texts = [text for text, _ in form]
    if not isinstance(session.workspace.retriever, BM25):
        return tuple(texts)
    retriever = BM25(session.settings.bm25)
    retriever.update((), list(enumerate(texts)))
    return tuple([texts[i] for i in retriever.search(session.query(question), len(texts))])


def _graded(env: MemoryEnv, calls: list[Request]) -> list[Answer]:
    judge = env.factory.judge
    requests = [request for request in calls if isinstance(request, JudgeRequest)]
    return (
        list(judge.judge(requests)) if judge is not None else [Answer("", failed=True)] * len(calls)
    )

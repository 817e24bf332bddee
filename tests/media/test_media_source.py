"""The drawn source: what its episodes are, and who answers what in them."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from baselines.agents import PrivilegedAgent, make_agent
from baselines.managers.eyes import look
from finemem_env.data.registry import load_source
from finemem_env.data.schema import canonical_line
from finemem_env.data.source import SourceConfig
from finemem_env.data.synthetic.media import CHART_TOKENS
from finemem_env.data.validation import validate
from finemem_env.errors import ConfigError
from finemem_env.media.tokens import raw_tokens
from finemem_env.readers import LocalReader
from finemem_env.registration import make_env
from finemem_env.testing import check_agent
from finemem_env.types import Answer, Episode, Medium, ReadRequest


def _episode(split: str = "train", index: int = 0, **difficulty: Any) -> Episode:  # noqa: ANN401
    config = SourceConfig(split=split, num_chunks=4, difficulty=difficulty)
    return load_source("media", config, "AR").episode(index)


def test_an_episode_is_the_same_everywhere_and_sound() -> None:
    one = _episode()
    assert canonical_line(one) == canonical_line(_episode())
    validate(one)
    for split, index in (("train", 1), ("val", 0), ("test", 0)):
        other = _episode(split, index)
        assert not {q.question for q in one.questions} & {q.question for q in other.questions}


@pytest.mark.parametrize("captioned", [0.0, 0.5, 1.0])
def test_a_share_of_the_captions_tells_the_answer(captioned: float) -> None:
    episode = _episode(captioned=captioned)
    texts = " ".join(one.text for chunk in episode.chunks for one in chunk.media)
    assert len(episode.questions) == 8
    told = [q for q in episode.questions if q.metadata["captioned"]]
    assert len(told) == 8 * captioned
    for question in episode.questions:
        person = " ".join(w for w in question.question.split() if w[0].isupper())
        assert person
        chunk = episode.chunks[question.evidence[0].chunk]
        assert question.answers[0] not in chunk.text.split()
    codes = [q for q in episode.questions if q.metadata["medium"] != "chart"]
    assert all((q.answers[0] in texts) == q.metadata["captioned"] for q in codes)


@pytest.mark.parametrize("kind", ["sign", "chart", "dial"])
def test_code_reads_what_was_drawn(kind: str) -> None:
    for index in range(5):
        episode = _episode(index=index, kinds=kind, captioned=0.0)
        media = [one for chunk in episode.chunks for one in chunk.media]
        seen = {fact.split()[-1] for one in media for fact in look(one)}
        asked = {q.answers[0] for q in episode.questions}
        assert asked <= seen
        assert len({raw_tokens(one.kind, one.data) for one in media}) == 1
        if kind == "chart":
            assert raw_tokens("image", media[0].data) == CHART_TOKENS
            assert str(CHART_TOKENS) not in seen


def test_nothing_is_seen_in_what_cannot_be_read() -> None:
    assert look(Medium("image", "", b"\xff\xd8\xff")) == ()
    assert look(Medium("audio", "", b"RIFF")) == ()


def _scores(
    name: str,
    arguments: dict[str, Any] | None = None,
    **keywords: Any,  # noqa: ANN401
) -> dict[bool, float]:
    """Mean score of the questions whose answer a caption tells, and of the others."""
    env = make_env("FineMem-Media-v0", num_chunks=6, **keywords)
    agent = make_agent(name, arguments)
    if isinstance(agent, PrivilegedAgent):
        agent.attach(env)
    found: dict[bool, list[float]] = defaultdict(list)
    for seed in range(2):
        observation, info = env.reset(seed=seed)
        agent.reset(info)
        over = False
        while not over:
            observation, _, over, _, info = env.step(agent.act(observation, info))
        captioned = {q.id: bool(q.metadata["captioned"]) for q in env.session.finals}
        for one in info["answers"]:
            found[captioned[one["id"]]].append(one["score"])
    return {told: sum(scores) / len(scores) for told, scores in sorted(found.items())}


def test_who_answers_what() -> None:
    assert _scores("skip") == {False: 0.0, True: 0.0}
    fifo = _scores("fifo")
    assert fifo[False] == 0.0 < fifo[True] <= 0.7
    boundless = _scores("fifo", memory_budget="unlimited")
    assert boundless[False] == 0.0 < 0.8 <= boundless[True]
    assert _scores("seeing") == {False: 1.0, True: 1.0}
    assert _scores("oracle") == {False: 1.0, True: 1.0}


class _Sees:
    """The local reader, told what the media of each item show."""

    version = "sees/1"

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        return LocalReader().answer([self._told(request) for request in requests])

    def _told(self, request: ReadRequest) -> ReadRequest:
        texts = []
        for text, media in zip(request.items, request.media, strict=True):
            about = text.split(": ", 1)[1].rstrip("].").split(":")[0]
            texts.append(" ".join(f"{about}: {seen}." for one in media for seen in look(one)))
        return dataclasses.replace(request, items=tuple(texts))


def test_a_medium_that_is_kept_is_shown_to_the_reader_again() -> None:
    given = {"keep": True}
    assert _scores("seeing", given, memory_budget="unlimited")[False] == 0.0  # it sees nothing
    seen = _scores("seeing", given, memory_budget="unlimited", reader=_Sees())
    assert seen == {False: 1.0, True: 1.0}


def test_the_agent_keeps_the_contract() -> None:
    check_agent(
        lambda: make_agent("seeing"), make_env=lambda: make_env("FineMem-Media-v0", num_chunks=3)
    )


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"difficulty": {"captioned": 2.0}}, "captioned.*from 0 to 1"),
        ({"difficulty": {"kinds": "film"}}, "kinds"),
        ({"difficulty": {"questions": 999}}, "there are 20 media"),
        ({"difficulty": {"picture": 1}}, "unknown difficulty knob"),
        ({"chunk_tokens": 100}, "chunk_tokens does not apply"),
    ],
)
def test_a_knob_that_does_not_fit(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env("FineMem-Media-v0", **keywords)

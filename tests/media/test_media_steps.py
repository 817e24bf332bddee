"""Media in an episode: what is shown, kept, counted, searched, credited, traced and seen again."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from finemem_env import Chunk, Episode, Evidence, Medium, MemoryEnv, MemoryManager, Question
from finemem_env.backends.policy import OPERATION_TOOLS, manage_request
from finemem_env.data.schema import write_episodes
from finemem_env.data.synthetic.png import write_png
from finemem_env.data.synthetic.wav import write_wav
from finemem_env.errors import ConfigError, DataError
from finemem_env.inspect import Choice, Recorded, find, tell
from finemem_env.media import raw_media
from finemem_env.memory import Memory
from finemem_env.operations import concise, parse, render
from finemem_env.prompts import INSTRUCTIONS, has_media_names, parse_observation
from finemem_env.readers import make_reader
from finemem_env.registration import make_env
from finemem_env.session import Session, public, run_step
from finemem_env.settings import resolve
from finemem_env.testing import check_environment, trajectory_hash
from finemem_env.text import approx_tokens
from finemem_env.trace import (
    parse_trace,
    read_traces,
    record_trace,
    replay,
    trace_line,
    without_texts,
    write_traces,
)
from finemem_env.types import Op, Operation, RejectReason
from finemem_env.view import collect, page
from finemem_env.view.record import record
from finemem_env.wrappers import DiscreteOperations

READER = make_reader({"name": "local"})
PNG = write_png(np.zeros((57, 29), np.uint8))  # six tokens
WAV = write_wav(np.zeros(80, np.int16), 8000)  # 25
EPISODE = Episode(
    "e",
    "AR",
    "test",
    (
        Chunk(
            "c0",
            "It rained. Mara came.",
            "now",
            media=(
                Medium("image", "The sign of the mill says KX12.", PNG),
                Medium("audio", "", WAV),
            ),
        ),
        Chunk("c1", "Ben left.", media=(Medium("image", "a photo"),)),
    ),
    (Question("q", "What does the sign of the mill say?", ("KX12",), evidence=(Evidence(0),)),),
)


def _session(**keywords: Any) -> Session:  # noqa: ANN401
    given: dict[str, Any] = {"memory_budget": "unlimited", "media": True} | keywords
    return Session(EPISODE, resolve(**given), np.random.default_rng(0), approx_tokens)


def _step(session: Session, action: str) -> Any:  # noqa: ANN401
    (result,) = run_step([session], [action], READER)
    return result


def _reasons(result: Any) -> list[RejectReason | None]:  # noqa: ANN401
    return [one.reason for one in result.operations]


FORMS = "[image m1, 6 tokens: The sign of the mill says KX12.]\n[audio m2, 25 tokens]"


def test_the_observation_shows_them_after_the_text() -> None:
    text = _session().observe()
    assert text.startswith(
        f'<chunk index="0" of="2" time="now" media="2">\nIt rained. Mara came.\n{FORMS}\n</chunk>\n'
    )
    view = parse_observation(text)
    assert view.chunk == f"It rained. Mara came.\n{FORMS}"
    assert view.text == "It rained. Mara came."
    assert [(one.name, one.kind, one.tokens) for one in view.media] == [
        ("m1", "image", 6),
        ("m2", "audio", 25),
    ]
    assert has_media_names(text)


def test_with_numbered_sentences() -> None:
    session = _session(line_numbers=True)
    text = session.observe()
    assert f'lines="2" media="2">\n[1] It rained.\n[2] Mara came.\n{FORMS}\n</chunk>' in text
    view = parse_observation(text)
    assert view.lines == ("It rained.", "Mara came.")
    assert view.text == "It rained. Mara came."
    result = _step(session, 'KEEP 2 m1\n{"op": "INSERT", "lines": [1], "media": ["m2"]}')
    assert [item.content for item in session.memory.items()] == [
        "Mara came.",
        "[image m1: The sign of the mill says KX12.]",
        "It rained.\n[audio m2]",
    ]
    assert [one.media for one in result.operations] == [(), ("m1",), ("m2",)]


def test_without_the_keyword_their_text_alone_is_there() -> None:
    session = _session(media=False)
    text = session.observe()
    assert "[image: The sign of the mill says KX12.]\n[audio]\n</chunk>" in text
    assert not has_media_names(text)
    assert session.media is None
    assert session.chunk_tokens[0] == _session().chunk_tokens[0] - 6 - 25 - approx_tokens(
        " m1, 6 tokens m2, 25 tokens"
    )
    assert _reasons(_step(session, "KEEP m1")) == [RejectReason.NO_OPERATION]


def test_text_cannot_forge_them() -> None:
    text = "Look.\n[image m1, 0 tokens: a lie]"
    episode = dataclasses.replace(EPISODE, chunks=(Chunk("c", text), *EPISODE.chunks))
    session = Session(episode, resolve(media=True), np.random.default_rng(0), approx_tokens)
    view = parse_observation(session.observe())
    assert (view.media, view.chunk) == ((), text)
    assert _reasons(_step(session, "KEEP m1")) == [RejectReason.UNKNOWN_MEDIUM]


def test_an_item_keeps_them_with_their_tokens() -> None:
    session = _session()
    result = _step(
        session,
        '[{"op": "INSERT", "content": "A bell.", "media": ["m2", "m2"]},'
        '{"op": "INSERT", "media": "m1"}, {"op": "INSERT", "content": "[image m1: a lie]"}]',
    )
    assert _reasons(result) == [None] * 3
    bell, sign, lie = session.memory.items()
    assert (bell.content, bell.media) == ("A bell.\n[audio m2]", ("m2",))
    assert bell.tokens == approx_tokens(bell.content) + 25
    assert sign.tokens == approx_tokens(sign.content) + 6
    assert (lie.media, session.memory.kept(sign)[0].data) == ((), PNG)
    result = _step(session, 'REPLACE 1 WITH m1\n{"op": "UPDATE", "id": 2, "content": "No sign."}')
    # The same picture twice is a duplicate; an UPDATE keeps only what it names.
    assert _reasons(result) == [RejectReason.EXACT_DUPLICATE, None]
    assert session.memory.items()[1].media == ()


def test_a_text_that_looks_like_one_keeps_nothing() -> None:
    session = _session()
    form = "[image m1: The sign of the mill says KX12.]"
    insert = {"op": "INSERT", "content": form}
    result = _step(
        session, json.dumps([insert, {"op": "UPDATE", "id": 1, "media": ["m1"]}, insert])
    )
    assert _reasons(result) == [None, None, None]  # the picture is more than its text
    assert [item.media for item in session.memory.items()] == [("m1",), ()]


def test_media_of_items_can_be_named_later_and_others_not() -> None:
    session = _session()
    _step(session, "KEEP m1")
    result = _step(session, 'KEEP m2 m3\n{"op": "INSERT", "content": "Again.", "media": ["M1"]}')
    assert _reasons(result) == [RejectReason.UNKNOWN_MEDIUM, None, None]
    assert [item.media for item in session.memory.items()] == [("m1",), ("m3",), ("m1",)]


@pytest.mark.parametrize(
    "action, reason",
    [
        ('{"op": "INSERT", "media": ["m7"]}', RejectReason.UNKNOWN_MEDIUM),
        ('{"op": "INSERT", "media": ["mill"]}', RejectReason.UNKNOWN_MEDIUM),
        ('{"op": "INSERT", "media": [1]}', RejectReason.WRONG_TYPE),
        ('{"op": "INSERT", "media": {"m1": 1}}', RejectReason.WRONG_TYPE),
        ('{"op": "INSERT", "media": []}', RejectReason.MISSING_FIELD),
        ('{"op": "UPDATE", "id": 9, "media": ["m1"]}', RejectReason.UNKNOWN_ID),
        ("KEEP", RejectReason.MALFORMED),
        ("KEEP m1 please", RejectReason.MALFORMED),
        ("SKIP m1", RejectReason.MALFORMED),
        ("DROP m1", RejectReason.MALFORMED),
        ("KEEP 1", RejectReason.UNKNOWN_LINE),
        ("REPLACE m1 WITH m2", RejectReason.MALFORMED),
    ],
)
def test_what_is_refused(action: str, reason: RejectReason) -> None:
    assert _reasons(_step(_session(), action)) == [reason]


def test_no_reply_raises() -> None:
    session = _session(line_numbers=True)
    words = [
        "KEEP",
        "REPLACE",
        "WITH",
        "m1",
        "M2",
        "m99999999999999999999",
        "1",
        "3-",
        "{",
        "SKIP",
        "mm1",
        "m٣",
        "lines",
        "]}",
    ]
    words += ['"media"', '{"op": "INSERT", "media": ', '["m1"', "\n", "\ud800", "\nKEEP m1\n"]
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(300):
        reply = " ".join(words[i] for i in rng.integers(len(words), size=6))
        parsed = parse(reply, session.lines, media=True)
        change = session.workspace.apply(0, parsed, session.media or ())
        assert len(change.results) == len(parsed) > 0
        accepted += sum(one.accepted for one in change.results)
    assert accepted


def test_limits_count_them() -> None:
    tight = _session(memory_budget=25)
    assert _reasons(_step(tight, "KEEP m2 m1")) == [RejectReason.MEMORY_FULL, None]
    short = _session(max_item_tokens=20)
    assert _reasons(_step(short, "KEEP m2")) == [RejectReason.CONTENT_TOO_LONG]
    many = parse("KEEP m1\n" * 40, (), media=True)
    memory = Memory(count_tokens=len)
    memory.offer([Medium("image", "x" * 16_000, name="m1")])
    reasons = [one.reason for one in memory.apply(0, many).results]
    assert reasons[0] is None
    assert reasons[1:17] == [RejectReason.EXACT_DUPLICATE] * 15 + [RejectReason.ACTION_TOO_LONG]


@pytest.mark.parametrize("numbered", [False, True])
def test_a_long_observation_leaves_the_last_ones_out(numbered: bool) -> None:
    session = _session(max_observation_tokens=115, line_numbers=numbered)
    assert [one.name for one in session.media or ()] == ["m1"]
    view = parse_observation(session.observe())
    assert [one.name for one in view.media] == ["m1"]
    assert "clipped" in str(view.text)
    assert _reasons(_step(session, "KEEP m1 m2")) == [None, RejectReason.UNKNOWN_MEDIUM]


@pytest.mark.parametrize("action", ["KEEP m1 m2", "REPLACE 3 WITH m1", "KEEP m2"])
def test_actions_are_written_back(action: str) -> None:
    parsed = [one for one in parse(action, (), media=True) if isinstance(one, Operation)]
    assert concise(parsed, ()) == action
    assert list(parse(render(parsed), media=True)) == parsed
    assert parse(render(parsed)) != tuple(parsed)  # not where media have no names
    both = Operation(Op.INSERT, "Mine.", media=("m1",))
    assert parse(concise([both], ("Mine.",)), ("Mine.",), media=True) == (both,)


def test_snapshots_hold_the_bytes_and_forks_part() -> None:
    session = _session()
    _step(session, "KEEP m1")
    snapshot = json.loads(json.dumps(session.memory.snapshot()))
    other = session.fork()
    _step(other, "KEEP m3\nDROP 1")
    _step(session, "SKIP")
    (item,) = session.memory.items()
    assert [one.name for one in session.memory.kept(item)] == ["m1"]
    fresh = _session()
    fresh.workspace.restore(snapshot)
    assert fresh.memory.items() == session.memory.items()
    assert fresh.memory.kept(fresh.memory.items()[0])[0].data == PNG
    assert fresh.observe().split("<memory")[1] == session.observe().split("<memory")[1]
    del snapshot["media"]
    with pytest.raises(DataError, match="memory snapshot"):
        fresh.workspace.restore(snapshot)


def test_the_reader_gets_text_and_media_and_the_item_the_credit() -> None:
    session = _session()
    _step(session, "KEEP m1")
    requests = session.advance("SKIP")
    (request,) = requests
    assert request.items == ("[image m1: The sign of the mill says KX12.]",)  # type: ignore[union-attr]
    assert [[one.data for one in media] for media in request.media] == [[PNG]]  # type: ignore[union-attr]
    result = session.settle(READER.answer(requests))  # type: ignore[arg-type]
    assert not isinstance(result, list)
    assert result.answers[0].score == 1.0
    assert result.evidence_credit == (1.0, 0.0)


def test_stores_of_a_hierarchical_memory() -> None:
    session = _session(memory="hierarchical")
    result = _step(
        session,
        '[{"op": "INSERT", "store": "episodic", "media": ["m1"]},'
        '{"op": "UPDATE", "store": "core", "content": "Me.", "media": ["m1"]}]',
    )
    assert _reasons(result) == [None, RejectReason.UNKNOWN_MEDIUM]
    assert '<episodic shown="1" of="1">\n[1] [image m1: The sign' in session.observe()


@pytest.fixture
def source(tmp_path: Path) -> str:
    write_episodes(tmp_path / "mine.jsonl", [EPISODE])
    return str(tmp_path / "mine.jsonl")


def test_a_source_with_media_names_them(source: str) -> None:
    env = MemoryEnv(source=source)
    assert env.factory.settings.media is True
    _, info = env.reset(seed=0)
    assert "KEEP m1 m2" in info["instructions"]
    assert info["versions"]["prompt"] == "1 manage_media/1"
    assert [
        (one["name"], one["format"], base64.b64decode(one["data"])) for one in info["media"]
    ] == [
        ("m1", "png", PNG),
        ("m2", "wav", WAV),
    ]
    assert json.loads(json.dumps(public(info)["media"]))
    assert raw_media(info) == env.session.media
    *_, info = env.step("KEEP m1")
    assert info["operations"][0]["media"] == ("m1",)
    *_, info = env.step("SKIP")
    assert info["media"] == ()
    plain = MemoryEnv(source=source, media=False)
    _, info = plain.reset(seed=0)
    assert info["instructions"] == INSTRUCTIONS
    assert "media" not in info
    with pytest.raises(ConfigError, match="media: expected"):
        MemoryEnv(source=source, media="yes")


def test_without_media_nothing_changes() -> None:
    keywords: dict[str, Any] = {"num_chunks": 2, "include_instructions": True}
    assert MemoryEnv(**keywords).factory.settings.media is False
    assert trajectory_hash(MemoryEnv(**keywords), ["SKIP"], seed=1) == trajectory_hash(
        MemoryEnv(media=False, **keywords), ["SKIP"], seed=1
    )


def test_vector_environment_and_conformance(source: str) -> None:
    vector: Any = gym.make_vec("FineMem-Media-v0", num_envs=2, source=source)
    single = gym.make("FineMem-Media-v0", source=source)
    observations, _ = vector.reset(seed=[3, 3])
    observation, _ = single.reset(seed=3)
    assert observations == (observation, observation)
    stepped = vector.step(["KEEP m1", "SKIP"])
    assert stepped[0][0] == single.step("KEEP m1")[0] != stepped[0][1]
    check_environment(lambda: gym.make("FineMem-Media-v0", num_chunks=2))


def test_choices_by_number_keep_them(source: str) -> None:
    made = make_env("FineMem-Media-v0", source=source, memory_budget=1000)
    env = DiscreteOperations(made)
    env.reset(seed=0)
    over = False
    taken: list[Any] = []
    while not over:
        *_, over, _, info = env.step(np.int64(1))  # INSERT what the window shows
        taken += info["operations"] if info["chunk_index"] else []
    assert all(one["accepted"] for one in taken)
    assert [item.media for item in made.session.memory.items()] == [
        (), (), ("m1",), ("m2",), (), ("m3",)
    ]  # fmt: skip


def test_a_stream_names_them_as_they_come() -> None:
    chunks = [*EPISODE.chunks, *EPISODE.questions]
    env = MemoryEnv(source=iter(chunks), memory_budget=500, media=True)
    env.reset(seed=0)
    observation, *_ = env.step("KEEP m1")
    assert "[image m3, 0 tokens: a photo]" in observation


def finished(**keywords: Any) -> Session:  # noqa: ANN401
    session = _session(**keywords)
    _step(session, 'KEEP m1\n{"op": "INSERT", "content": "A bell.", "media": ["m2"]}')
    _step(session, "REPLACE 2 WITH m3")
    return session


def test_trace_replay_inspect_and_view(tmp_path: Path) -> None:
    session = finished()
    trace = record_trace(session, agent="me")
    path = tmp_path / "traces.jsonl"
    write_traces(path, [trace])
    (again,) = read_traces(path)
    assert again == trace
    assert [one.name for one in again.steps[0].media] == ["m1", "m2"]
    fresh = _session()
    assert replay(again, fresh) == session.record.results[-1]
    assert fresh.memory.items() == session.memory.items()
    story = tell(again)
    assert not story.problem
    assert [life.item.media for life in story.lives] == [("m1",), ("m2",), ("m3",)]
    assert [finding.outcome for finding in find(again, story)] == ["answered"]
    told = record(Recorded("", "", again))
    uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert told["media"]["m1"]["uri"] == uri
    assert told["media"]["m2"]["uri"].startswith("data:audio/wav;base64,UklGR")
    assert told["media"]["m3"]["uri"] == ""
    assert told["items"][0][7] == told["steps"][0]["media"][:1] == ["m1"]
    html = page("media", collect(path, Choice(), 9))
    assert uri in html
    assert "img-src data:; media-src data:" in html
    assert "the trace does not hold the chunks" in tell(without_texts(trace)).problem
    assert not any(step.media for step in without_texts(trace).steps)


def test_a_trace_that_was_changed_is_refused() -> None:
    line = json.loads(trace_line(record_trace(finished())))
    video = {"kind": "video", "text": "", "name": "m1", "tokens": 0, "data": ""}
    wrong: tuple[list[Any], ...] = ([{}], ["m1"], [video])
    for media in wrong:
        line["steps"][0]["media"] = media
        with pytest.raises(DataError, match=r"steps\[0\]: media: expected what info"):
            parse_trace(line)


def test_svg_never_reaches_the_page() -> None:
    trace = record_trace(finished())
    evil = dataclasses.replace(trace.steps[0].media[0], data=b"<svg onload=alert(1)>")
    step = dataclasses.replace(trace.steps[0], media=(evil, *trace.steps[0].media[1:]))
    told = record(Recorded("", "", dataclasses.replace(trace, steps=(step, *trace.steps[1:]))))
    assert told["media"]["m1"]["uri"] == ""


def test_a_manager_outside_keeps_them(tmp_path: Path) -> None:
    seen: list[int] = []

    class Keeper:
        def act(self, observation: str, info: Any) -> str:  # noqa: ANN401
            seen.append(len(raw_media(info)))
            names = [one.name for one in parse_observation(observation).media]
            return f"KEEP {' '.join(names)}" if names else "SKIP"

    memory = MemoryManager(Keeper(), media=True, memory_budget=500)
    memory.observe("Look.", media=EPISODE.chunks[0].media)
    memory.observe("Nothing.")
    memory.save(tmp_path / "memory.json")
    again = MemoryManager.load(tmp_path / "memory.json", Keeper())
    again.observe("Look again.", media=EPISODE.chunks[1].media)
    assert seen == [2, 0, 1]
    assert [item.media for item in again.memory.items()] == [("m1",), ("m2",), ("m3",)]
    (found,) = again.search("sign of the mill", k=1)
    assert again.memory.kept(found)[0].data == PNG
    with pytest.raises(DataError, match=r"media\[0\]: expected audio data"):
        again.observe("Look.", media=[Medium("audio", "", PNG)])

    def broken(observation: str) -> str:
        raise RuntimeError(observation)

    before, again.policy = again.memory.snapshot(), broken
    with pytest.raises(RuntimeError, match="m4, 6 tokens"):
        again.observe("Look.", media=[Medium("image", "", PNG)])
    assert again.memory.snapshot() == before
    again.policy = Keeper()
    again.observe("Look.", media=[Medium("image", "", PNG)])
    assert again.memory.items()[-1].media == ("m4",)


def test_tools_offer_them_where_they_have_names() -> None:
    request = manage_request(_session().observe(), tools=True)
    insert: Any = request.tools[0]
    assert "media" in insert["function"]["parameters"]["properties"]
    assert insert["function"]["parameters"]["required"] == []
    assert manage_request(_session(media=False).observe(), tools=True).tools == OPERATION_TOOLS

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finemem_env.errors import DataError, FineMemError, ReaderError
from finemem_env.session import Session, end_here, run_step
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens
from finemem_env.trace import (
    Trace,
    parse_trace,
    read_traces,
    record_trace,
    replay,
    trace_line,
    without_texts,
    write_traces,
)
from finemem_env.types import Answer, Episode, Reader, ReadRequest

OLD = Path(__file__).parent / "first_version.jsonl"
ACTIONS = (
    '[{"op": "INSERT", "content": "The red key opens the cellar."}, {"op": "DELETE", "id": 9}]',
    "no operation here \ud800 at all",
    '[{"op": "INSERT", "content": "The code of the gate is 4711. It rained."},'
    ' {"op": "INSERT", "content": "Nobody saw the code of the gate."}]',
)


class FirstItem:
    """Answers with the best item and cites its first sentence, or nothing."""

    version = "first-item/1"

    def __init__(self, *, cites: bool = True) -> None:
        self.cites = cites
        self.asked: list[ReadRequest] = []

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        self.asked.extend(requests)
        return [
            Answer(one.items[0], ((0, 0),) if self.cites else (), tokens=3)
            if one.items
            else Answer("")
            for one in requests
        ]


def make_session(episode: Episode, **keywords: object) -> Session:
    settings = resolve(**{"memory_budget": "unlimited", **keywords})
    return Session(episode, settings, np.random.default_rng(5), approx_tokens, 10_000)


def play(episode: Episode, reader: Reader, **keywords: object) -> tuple[Session, Trace]:
    session = make_session(episode, **keywords)
    for action in ACTIONS:
        run_step([session], [action], reader)
    trace = record_trace(
        session, agent="me", episode=3, seed=5, env={"id": "X"}, versions={"reader": "1"}
    )
    return session, trace


def test_a_trace_holds_the_agents_text_and_what_became_of_it(tiny_episode: Episode) -> None:
    session, trace = play(tiny_episode, FirstItem())
    assert tuple(step.action for step in trace.steps) == ACTIONS
    assert [one.accepted for one in trace.steps[0].operations] == [True, False]
    assert trace.steps[1].operations[0].reason == "no operation found"
    last = session.record.results[-1]
    assert trace.step_rewards == last.step_rewards
    assert trace.episode_return == pytest.approx(sum(last.step_rewards))
    assert {one.id for one in trace.answers} == {"q0", "q2"}
    shown = {item.id for item in session.memory.items()}
    assert all(set(one.shown) <= shown for one in trace.answers)
    assert trace.memory_tokens == session.memory.tokens
    assert trace.settings == session.settings.as_dict()


def test_an_unfinished_episode_has_no_trace(tiny_episode: Episode) -> None:
    session = make_session(tiny_episode)
    run_step([session], ["[]"], FirstItem())
    for short in (session, *end_here([session], FirstItem())):
        with pytest.raises(FineMemError, match="at step 1 of 3"):
            record_trace(short)


def test_writing_and_reading_give_the_same_traces(tiny_episode: Episode, tmp_path: Path) -> None:
    _, trace = play(tiny_episode, FirstItem(), attribution="leave_one_out")
    assert any(one.without for one in trace.answers)
    other = dataclasses.replace(trace, agent="other")
    path = tmp_path / "traces.jsonl"
    write_traces(path, [trace, other])
    assert path.read_bytes().isascii()
    assert list(read_traces(path)) == [trace, other]


def test_a_trace_of_the_first_version_is_read_and_written_as_it_was() -> None:
    line = OLD.read_text()
    (trace,) = read_traces(OLD)
    assert trace_line(trace) == line
    assert trace.is_first_version
    assert trace.memory_budget is None
    assert trace.answers[0].evidence is None
    assert trace.answers[0].credit is None
    assert trace.steps[0].memory_tokens is None


def test_a_trace_holds_what_was_read_and_what_answers_were_worth(tiny_episode: Episode) -> None:
    session, trace = play(tiny_episode, FirstItem(), memory_budget=40)
    assert [one.chunk for one in trace.steps] == [one.text for one in tiny_episode.chunks]
    assert trace.steps[1].time == "2024-01-02"
    assert [one.memory_tokens for one in trace.steps] == [8, 8, session.memory.tokens]
    assert trace.memory_budget == 40
    first = trace.answers[0]
    assert first.evidence == tiny_episode.questions[0].evidence
    assert (first.type, first.metric, first.asked_after) == ("fact", "substring_exact_match", 2)
    assert first.credit == ((0, 0.5),)
    bare = without_texts(trace)
    assert "rained all day" not in json.dumps([one.chunk for one in bare.steps])
    assert parse_trace(json.loads(trace_line(bare))) == bare


def damage_credit(record: dict[str, Any]) -> None:
    record["answers"][0]["credit"] = [[1, None]]


def damage_evidence(record: dict[str, Any]) -> None:
    record["answers"][0]["evidence"] = [[1, 2]]


def damage_left_out(record: dict[str, Any]) -> None:
    record["answers"][0]["left_out"] = [1]


def damage_judged(record: dict[str, Any]) -> None:
    record["steps"][0]["judged"] = {"a": 1}


def damage_version(record: dict[str, Any]) -> None:
    del record["answers"][0]["query"]


def damage_lost(record: dict[str, Any]) -> None:
    del record["seed"]


def damage_schema(record: dict[str, Any]) -> None:
    record["schema"] = "finemem-trace/9"


def damage_type(record: dict[str, Any]) -> None:
    record["steps"][1]["reward"] = "high"


def damage_nested(record: dict[str, Any]) -> None:
    record["answers"][0]["shown"] = ["1"]


def damage_reason(record: dict[str, Any]) -> None:
    record["steps"][0]["operations"][0][1] = "bad luck"


def damage_length(record: dict[str, Any]) -> None:
    record["step_rewards"].pop()


def damage_key(record: dict[str, Any]) -> None:
    record["sead"] = 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_lost, "seed: expected a value of type int, found no such key"),
        (damage_schema, "schema: expected 'finemem-trace/2' or 'finemem-trace/1'"),
        (damage_type, r"steps\[1\]: reward: expected a value of type float, found str 'high'"),
        (damage_nested, r"answers\[0\]: shown: expected a list of item ids"),
        (damage_reason, r"steps\[0\]: operations: expected a list of \[name, reject reason"),
        (damage_length, "step_rewards: expected 3 entries, one per step"),
        (damage_credit, r"answers\[0\]: credit: expected a list of \[step, part\] pairs"),
        (damage_evidence, r"answers\[0\]: evidence: expected a list of \[chunk, sentence"),
        (damage_left_out, r"answers\[0\]: left_out: expected a list of texts or null"),
        (damage_judged, r"steps\[0\]: judged: expected an object of texts or null"),
        (damage_version, r"answers\[0\]: query: expected a value of type str"),
        (damage_key, "unknown key 'sead'. Did you mean 'seed'"),
    ],
)
def test_a_bad_line_is_named_with_what_was_expected(
    tiny_episode: Episode,
    tmp_path: Path,
    damage: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    _, trace = play(tiny_episode, FirstItem())
    record = json.loads(trace_line(trace))
    damage(record)
    path = tmp_path / "traces.jsonl"
    path.write_text(trace_line(trace) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(DataError, match=f"line 3.*{message}"):
        list(read_traces(path))


@pytest.mark.parametrize("text", ["{", "[1]", '{"schema": NaN}', "\xff"])
def test_lines_that_are_no_objects_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(text.encode("latin-1") + b"\n")
    with pytest.raises(DataError):
        list(read_traces(path))


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_traces(tmp_path / "nowhere.jsonl"))


def test_replaying_gives_the_same_result_without_a_reader(tiny_episode: Episode) -> None:
    session, trace = play(tiny_episode, FirstItem())
    fresh = make_session(tiny_episode)
    result = replay(trace, fresh)
    assert result == session.record.results[-1]
    assert record_trace(fresh, agent="me", episode=3, seed=5, env={"id": "X"}) == (
        dataclasses.replace(trace, versions={})
    )


def test_replaying_under_another_reward_rescores(tiny_episode: Episode) -> None:
    _, trace = play(tiny_episode, FirstItem())
    result = replay(trace, make_session(tiny_episode, reward="outcome"))
    direct, _ = play(tiny_episode, FirstItem(), reward="outcome")
    assert result.step_rewards == direct.record.results[-1].step_rewards
    assert result.step_rewards != trace.step_rewards


def test_only_what_the_trace_lacks_is_read_anew(tiny_episode: Episode) -> None:
    _, trace = play(tiny_episode, FirstItem(cites=False), attribution="last_write")
    wanted = {"attribution": "leave_one_out"}
    with pytest.raises(ReaderError, match="not answered in the trace"):
        replay(trace, make_session(tiny_episode, **wanted))
    reader = FirstItem(cites=False)
    replay(trace, make_session(tiny_episode, **wanted), reader)
    shown = {one.question: len(one.shown) for one in trace.answers}
    assert reader.asked
    assert all(len(one.items) == shown[one.question] - 1 for one in reader.asked)


class Moody:
    """Never says the same twice, fails every fifth call and cites nothing."""

    version = "moody/1"

    def __init__(self) -> None:
        self.calls = 0

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        return [self._one(request) for request in requests]

    def _one(self, request: ReadRequest) -> Answer:
        self.calls += 1
        said = f"{self.calls} {' '.join(request.items)}"
        return Answer("" if self.calls % 5 == 0 else said, failed=self.calls % 5 == 0)


def test_left_out_reads_are_kept_so_that_no_reader_is_needed(tiny_episode: Episode) -> None:
    wanted = {"attribution": "leave_one_out", "reward": "evidence"}
    twice = dataclasses.replace(tiny_episode.questions[0], id="again")
    episode = dataclasses.replace(tiny_episode, questions=(*tiny_episode.questions, twice))
    session, trace = play(episode, Moody(), **wanted)
    assert [one.left_out for one in trace.answers if one.left_out]
    assert any(None in (one.left_out or ()) for one in trace.answers)
    (read,) = [parse_trace(json.loads(trace_line(trace)))]
    fresh = make_session(episode, **wanted)
    assert replay(read, fresh) == session.record.results[-1]
    again = record_trace(fresh, agent="me", episode=3, seed=5, env={"id": "X"})
    assert again == dataclasses.replace(trace, versions={})


def test_a_trace_without_left_out_reads_is_read_and_asks_for_a_reader(
    tiny_episode: Episode,
) -> None:
    wanted = {"attribution": "leave_one_out", "reward": "evidence"}
    _, trace = play(tiny_episode, Moody(), **wanted)
    record = json.loads(trace_line(trace))
    for answer in (*record["answers"], *(one for s in record["steps"] for one in s["answers"])):
        del answer["left_out"]
    with pytest.raises(ReaderError, match=r"not answered in the trace.*give a reader"):
        replay(parse_trace(record), make_session(tiny_episode, **wanted))


def test_replaying_refuses_another_episode(tiny_episode: Episode) -> None:
    _, trace = play(tiny_episode, FirstItem())
    other = dataclasses.replace(tiny_episode, episode_id="other")
    with pytest.raises(DataError, match="the trace is of 'tiny'"):
        replay(trace, make_session(other))

"""The disk cache, alone and under a backend: threads, processes, failures, foreign files."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import sqlite3
import threading
from pathlib import Path

import pytest

from finemem_env.backends import ChatRequest, Completion, Failure, Message, Sampling
from finemem_env.backends.cached import CachedBackend
from finemem_env.backends.disk_cache import DiskCache, content_key
from finemem_env.errors import ConfigError
from finemem_env.readers.prompted import PromptedReader
from finemem_env.types import ReadRequest
from tests.backends.fakes import FakeBackend


def _chat(text: str, **sampling: float) -> ChatRequest:
    return ChatRequest((Message("user", text),), dataclasses.replace(Sampling(), **sampling))  # type: ignore[arg-type]


def _fill(path: Path, worker: int, count: int) -> None:
    cache = DiskCache(path)
    for number in range(count):
        entry = (content_key(f"shared {number}"), f"{worker}")
        own = (content_key(f"{worker} {number}"), f"{worker} {number}")
        cache.put([entry, own])
    cache.close()


def test_round_trip_and_the_first_text_stays(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "new" / "c.sqlite")
    keys = [content_key(str(i)) for i in range(1200)]
    cache.put([(key, f"text {i} é\ud800".replace("\ud800", "")) for i, key in enumerate(keys)])
    cache.put([(keys[0], "other")])
    found = cache.get([*keys, content_key("absent")])
    assert len(found) == len(cache) == 1200
    assert found[keys[0]] == "text 0 é"
    cache.close()
    assert len(DiskCache(cache.path)) == 1200


def test_many_processes_and_threads_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_fill, args=(path, worker, 40)) for worker in range(2)]
    for process in processes:
        process.start()
    threads = [threading.Thread(target=_fill, args=(path, worker, 40)) for worker in (2, 3)]
    for thread in threads:
        thread.start()
    for process in processes:
        process.join(60)
    for thread in threads:
        thread.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    cache = DiskCache(path)
    assert len(cache) == 40 + 4 * 40
    cache.close()


def test_pickles_by_path(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "c.sqlite")
    cache.put([(content_key("a"), "b")])
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get([content_key("a")]) == {content_key("a"): "b"}
    copy.close()
    cache.close()


def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, but long enough to be read as one" * 40)
    with pytest.raises(ConfigError, match=r"notes.txt: cannot be used .* name another file"):
        DiskCache(text)
    later = tmp_path / "later.sqlite"
    connection = sqlite3.connect(later)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ConfigError, match="format 99, expected 1"):
        DiskCache(later)
    with pytest.raises(ConfigError, match="cannot be used"):
        DiskCache(text / "below" / "c.sqlite")


def test_a_second_identical_run_makes_no_call(tmp_path: Path) -> None:
    requests = [ReadRequest(f"q{i}", ("a", "b")) for i in range(5)]
    answers, calls = [], []
    for _ in range(2):
        backend = FakeBackend(lambda chat: f"Answer: {len(chat.messages[-1].content)}\nUsed: 2")
        reader = PromptedReader(CachedBackend(backend, DiskCache(tmp_path / "c.sqlite")))
        answers.append(reader.answer(requests))
        calls.append(backend.calls)
    assert answers[0] == answers[1]
    assert calls == [5, 0]


@pytest.mark.parametrize("change", ["model", "question", "items", "temperature", "max_tokens"])
def test_anything_that_can_change_the_reply_is_in_the_key(tmp_path: Path, change: str) -> None:
    backend = FakeBackend(lambda _: "Answer: x")
    cached = CachedBackend(backend, DiskCache(tmp_path / "c.sqlite"))
    PromptedReader(cached).answer([ReadRequest("q", ("a",))])
    backend.model = "other" if change == "model" else "fake"
    request = ReadRequest(
        "r" if change == "question" else "q", ("b",) if change == "items" else ("a",)
    )
    sampling = Sampling(temperature=0.2 if change == "temperature" else 0.1)
    limit = 7 if change == "max_tokens" else None
    PromptedReader(cached, sampling=sampling, max_tokens=limit).answer([request])
    assert backend.calls == 2


def test_duplicates_are_asked_once_and_failures_again(tmp_path: Path) -> None:
    up = False

    def reply(_: ChatRequest) -> Completion:
        return Completion("yes") if up else Completion(failure=Failure.CONNECTION, detail="down")

    backend = FakeBackend(reply)
    cached = CachedBackend(backend, DiskCache(tmp_path / "c.sqlite"))
    chats = [_chat("a"), _chat("b"), _chat("a")]
    assert [one.failure for one in cached.complete(chats)] == [Failure.CONNECTION] * 3
    assert len(cached.cache) == 0
    up = True
    assert [one.text for one in cached.complete(chats)] == ["yes"] * 3
    assert [one.text for one in cached.complete(chats)] == ["yes"] * 3
    assert [len(batch) for batch in backend.batches] == [2, 2]
    assert cached.complete([]) == []


def test_a_full_disk_and_a_file_that_was_damaged_are_one_line(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "c.sqlite")
    key = content_key("a")
    cache.put([(key, "x")])
    cache._connection().execute("PRAGMA max_page_count=3")
    with pytest.raises(ConfigError, match=r"c\.sqlite: cannot be used .*full.* free some space"):
        cache.put([(content_key(str(number)), "x" * 10_000) for number in range(9)])
    assert cache.get([key]) == {key: "x"}
    cache.path.write_bytes(b"something else" * 999)
    for use in (lambda: cache.get([key]), lambda: cache.put([(key, "y")]), lambda: len(cache)):
        with pytest.raises(ConfigError, match="cannot be used"):
            use()


def test_tools_are_in_the_key() -> None:
    plain = _chat("a")
    tooled = dataclasses.replace(plain, tools=({"type": "function"},))
    assert plain.key("m") != tooled.key("m")
    assert plain.key("m") != plain.key("n")

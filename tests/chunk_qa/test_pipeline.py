"""The pipeline: verification, selection, failures, and going on after a kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from finemem_env.backends import ChatRequest, Completion, Failure
from finemem_env.chunk_qa.candidates import CandidateQuestion, ChunkJob
from finemem_env.chunk_qa.model import ModelGenerator
from finemem_env.chunk_qa.pipeline import Yield, write_chunk_questions
from finemem_env.chunk_qa.quality import measure
from finemem_env.chunk_qa.selection import choose
from finemem_env.cli import chunk_qa as command
from finemem_env.cli import options
from finemem_env.data.schema import read_episodes, write_episodes
from finemem_env.errors import BackendError, ConfigError
from finemem_env.readers import LocalReader
from finemem_env.types import Answer, Chunk, Episode, Question, ReadRequest
from tests.backends.fakes import FakeBackend
from tests.backends.servers import StubServer


def _episode(name: str = "e", chunks: int = 4, source: str = "s") -> Episode:
    texts = [f"Person{t} of {name} lives in City{t}. Nobody knows why." for t in range(chunks)]
    final = Question("f", f"Where does Person0 of {name} live?", ("City0",))
    made = tuple(Chunk(f"c{t}", text) for t, text in enumerate(texts))
    return Episode(name, "AR", source, made, (final,))


class _Scripted:
    """Asks where each person lives; `fail` says for which chunks the call fails."""

    version = "scripted/1"

    def __init__(self, fail: Callable[[ChunkJob], bool] = lambda job: False) -> None:
        self.fail = fail
        self.jobs: list[tuple[str, int]] = []

    def generate(self, jobs: Sequence[ChunkJob]) -> list[list[CandidateQuestion] | None]:
        self.jobs += [(job.episode.episode_id, job.chunk) for job in jobs]
        return [None if self.fail(job) else self._write(job) for job in jobs]

    def _write(self, job: ChunkJob) -> list[CandidateQuestion]:
        name, t = job.episode.episode_id, job.chunk
        asked = [f"Where does Person{t} of {name} live?", f"In which city is Person{t} of {name}?"]
        good = [CandidateQuestion(one, f"City{t}", job.text.split(". ")[0] + ".") for one in asked]
        return [
            *good,
            CandidateQuestion("Where is it?", "Paris"),
            CandidateQuestion("Is it true?", "yes"),
        ]


def _write(path: Path, *episodes: Episode) -> Path:
    write_episodes(path, episodes)
    return path


def _questions(path: Path) -> list[list[str]]:
    return [
        [one.question for one in chunk.questions]
        for episode in read_episodes(path)
        for chunk in episode.chunks
    ]


def test_writes_disjoint_verified_questions_with_evidence(tmp_path: Path) -> None:
    source = _write(tmp_path / "in.jsonl", _episode(), _episode("d", 2, "t"))
    report = write_chunk_questions(source, tmp_path / "out.jsonl", _Scripted(), LocalReader())
    assert report.yields == {"s": Yield(4, 16, 8, 8, 7), "t": Yield(2, 8, 4, 4, 3)}
    first, *_ = read_episodes(tmp_path / "out.jsonl")
    assert [one.question for one in first.chunks[0].questions] == [
        "In which city is Person0 of e?"  # the other one is a final question
    ]
    question = first.chunks[1].questions[0]
    assert question.evidence[0].sentence == "Person1 of e lives in City1."
    assert not (tmp_path / "out.jsonl.partial").exists()


def test_keeps_at_most_so_many_and_old_questions_unless_replaced(tmp_path: Path) -> None:
    source = _write(tmp_path / "in.jsonl", _episode())
    write_chunk_questions(source, tmp_path / "one.jsonl", _Scripted(), LocalReader(), keep=1)
    assert [len(asked) for asked in _questions(tmp_path / "one.jsonl")] == [1, 1, 1, 1]
    again = _Scripted()
    write_chunk_questions(tmp_path / "one.jsonl", tmp_path / "two.jsonl", again, LocalReader())
    assert again.jobs == []
    assert _questions(tmp_path / "two.jsonl") == _questions(tmp_path / "one.jsonl")
    write_chunk_questions(
        tmp_path / "one.jsonl", tmp_path / "three.jsonl", again, LocalReader(), replace=True
    )
    assert len(again.jobs) == 4
    assert [len(asked) for asked in _questions(tmp_path / "three.jsonl")] == [1, 2, 2, 2]


def test_failed_calls_are_kept_for_the_next_run_and_never_taken_for_answers(tmp_path: Path) -> None:
    source, out = _write(tmp_path / "in.jsonl", _episode(chunks=6)), tmp_path / "out.jsonl"

    class _Flaky(LocalReader):
        def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
            answers = super().answer(requests)
            return [
                Answer("", failed=True) if "Person5" in request.question else answer
                for request, answer in zip(requests, answers, strict=True)
            ]

    with pytest.raises(BackendError, match=r"3 of 6 chunks .* run the same command again"):
        write_chunk_questions(source, out, _Scripted(lambda job: job.chunk in (1, 2)), _Flaky())
    assert not out.exists()
    again = _Scripted()
    write_chunk_questions(source, out, again, LocalReader())
    assert again.jobs == [("e", 1), ("e", 2), ("e", 5)]
    write_chunk_questions(source, tmp_path / "whole.jsonl", _Scripted(), LocalReader())
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_half_a_line_is_dropped_and_other_settings_are_refused(tmp_path: Path) -> None:
    source, out = _write(tmp_path / "in.jsonl", _episode()), tmp_path / "out.jsonl"
    with pytest.raises(BackendError):
        write_chunk_questions(source, out, _Scripted(lambda job: job.chunk > 1), LocalReader())
    partial = tmp_path / "out.jsonl.partial"
    partial.write_bytes(partial.read_bytes()[:-9])
    with pytest.raises(ConfigError, match="an unfinished run with keep 5, not 3"):
        write_chunk_questions(source, out, _Scripted(), LocalReader(), keep=3)
    again = _Scripted()
    write_chunk_questions(source, out, again, LocalReader())
    assert again.jobs == [("e", 1), ("e", 2), ("e", 3)]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("openai", reason="needs the extra openai")
    source = _write(tmp_path / "in.jsonl", *(_episode(f"e{i}", 50) for i in range(4)))

    def answer(body: dict[str, object]) -> str:
        found = re.search(r"Person(\d+) of (e\d+) lives", str(body["messages"]))
        assert found is not None
        asked = {"question": f"Where does Person{found[1]} of {found[2]} live?"}
        return json.dumps([asked | {"answer": f"City{found[1]}"}])

    with StubServer(answer, delay=0.01) as server:
        out = tmp_path / "out.jsonl"
        config = {"name": "openai", "model": "m", "base_url": server.url, "concurrency": 4}
        arguments = ["-m", "finemem_env", "chunk-qa", str(source), "--generator"]
        arguments += [json.dumps(config), "--out"]
        process = subprocess.Popen(
            [sys.executable, *arguments, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        partial, end = tmp_path / "out.jsonl.partial", time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if partial.exists() and partial.read_bytes().count(b"\n") > 60:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not out.exists()
        calls = len(server.seen)
        done = partial.read_bytes().count(b"\n") - 1
        assert 64 <= done < 200
        assert command.main([*arguments[3:], str(out)]) == 0
        assert len(server.seen) - calls == 200 - done
        whole = tmp_path / "whole.jsonl"
        assert command.main([*arguments[3:], str(whole)]) == 0
    assert out.read_bytes() == whole.read_bytes()


def test_choose_ends_a_question_where_a_later_chunk_answers_otherwise() -> None:
    episode = _episode(chunks=4)
    asked = "What is the capital of the old country?"
    found = {
        0: [
            CandidateQuestion(asked, "Osta"),
            CandidateQuestion("Who is the mayor of it now?", "Tom"),
        ],
        2: [CandidateQuestion(asked, "Triton")],
        3: [
            CandidateQuestion("Who sells apples in there?", "Tom"),
            CandidateQuestion("who sells apples in THERE", "Eve"),
        ],
    }
    made = choose(episode, found, 5)
    ends = [[(one.answers[0], one.valid_until) for one in chunk.questions] for chunk in made.chunks]
    # The second asking is a duplicate by its words; the third contradicts itself.
    assert ends == [[("Osta", 1), ("Tom", None)], [], [], []]


def test_choose_prefers_different_answers() -> None:
    rows = [
        CandidateQuestion(f"What is thing{i} near place{i} of kind{i}?", "Osta") for i in range(4)
    ]
    rows.append(CandidateQuestion("Who wrote the long letter to her?", "Mara"))
    made = choose(_episode(chunks=1), {0: rows}, 3)
    assert [one.answers[0] for one in made.chunks[0].questions] == ["Osta", "Osta", "Mara"]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('[{"question": "Where  does Person0 live?", "answer": "City0."}]', ["City0"]),
        ('```json\n{"questions": [{"question": "a b c", "answer": "x"}]}\n```', ["x"]),
        ('<think>[{"question": "no", "answer": "no"}]</think>[]', []),
        ('[{"question": "q", "answer": "a"}, {"question": "cut off he', ["a"]),
        ('[{"question": 3, "answer": "a"}, {"answer": "b"}, "text"]', []),
        ("I cannot do that.", []),
    ],
)
def test_model_generator_reads_replies(reply: str, found: list[str]) -> None:
    generator = ModelGenerator(FakeBackend(lambda _: reply), count=3)
    (candidates,) = generator.generate([ChunkJob(_episode(), 0)])
    assert candidates is not None
    assert [one.answer for one in candidates] == found


@pytest.mark.parametrize("reply", ["", " \n", "<think>none</think>", '<think>[{"question": '])
def test_a_reply_that_says_nothing_is_a_failed_call(reply: str) -> None:
    generator = ModelGenerator(FakeBackend(lambda _: reply), count=3)
    assert generator.generate([ChunkJob(_episode(), 0)]) == [None]


def test_model_generator_prompt_version_and_failures() -> None:
    def reply(chat: ChatRequest) -> Completion | str:
        bad = "Person1" in chat.messages[-1].content
        return Completion(failure=Failure.TIMEOUT) if bad else "[]"

    backend = FakeBackend(reply)
    generator = ModelGenerator(backend, count=7, seed=2)
    assert generator.version == "fake chunk_questions/1 t=0.7 n=7"
    assert generator.generate([ChunkJob(_episode(), t) for t in (0, 1)]) == [[], None]
    chat = backend.batches[0][0]
    assert "Person0 of e lives in City0" in chat.messages[-1].content
    assert "Write 7 questions" in chat.messages[-1].content
    assert (chat.prompt, chat.sampling.max_tokens, chat.sampling.seed) == (
        "chunk_questions/1",
        420,
        2,
    )


def test_quality_counts_what_else_answers() -> None:
    shown = Question("q", "Where does Person0 of e live?", ("City0",))
    chunks = (
        Chunk("c0", "Person0 of e lives in City0.", questions=(shown,)),
        Chunk("c1", "Some day later Person0 of e lives in City0.", questions=()),
    )
    episode = Episode("e", "AR", "s", chunks, (Question("f", "Who?", ("x",)),))
    quality = measure([episode], LocalReader())
    assert (quality.questions, quality.failed) == (1, 0)
    assert (quality.from_chunk, quality.from_the_rest, quality.from_nothing) == (1.0, 1.0, 0.0)
    assert measure([episode], LocalReader(), most=0).questions == 0


def test_command_with_local_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = _write(tmp_path / "in.jsonl", _episode()), tmp_path / "out.jsonl.gz"
    assert command.main([str(source), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "answered from the chunk" in printed
    assert "per chunk" in printed
    with pytest.raises(ConfigError, match="is there already; --force replaces it"):
        command.main([str(source), "--out", str(out)])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--generator", "loacl", "Did you mean"),
        ("--generator", "{bad", "expected a JSON object"),
        ("--verifier", "openia:x", "Did you mean 'openai'"),
        ("--keep", "0", "--keep: expected at least 1"),
        ("--ask", "0", "--ask: expected at least 1"),
    ],
)
def test_command_refuses_bad_options(tmp_path: Path, option: str, value: str, message: str) -> None:
    source = _write(tmp_path / "in.jsonl", _episode())
    with pytest.raises(ConfigError, match=message):
        command.main([str(source), "--out", str(tmp_path / "o.jsonl"), option, value])


def test_command_line_models() -> None:
    assert options.model("local") == {"name": "local"}
    assert options.model("openai:org/m:tag") == {"name": "openai", "model": "org/m:tag"}
    assert options.model('{"name": "vllm", "model": "m"}')["name"] == "vllm"

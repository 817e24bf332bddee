"""Generator, verifier, duplicates, and a progress file that survives a kill.

The progress file lies beside the output, `NAME.partial`: a first line with the settings, then a
line per finished chunk with the candidates that the verifier answered. A run that finds one with
its own settings goes on from there; calls that failed are made again, never taken for answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finemem_env.chunk_qa.candidates import CandidateQuestion, ChunkJob, Generator, sound
from finemem_env.chunk_qa.selection import choose
from finemem_env.data.schema import read_episodes, write_episodes
from finemem_env.disk import hold
from finemem_env.errors import BackendError, ConfigError
from finemem_env.scoring import score
from finemem_env.types import Episode, Reader, ReadRequest

PROGRESS_SCHEMA = "finemem-chunk-qa/1"
_PART = 64  # chunks of one batch: what a kill can lose


@dataclass(frozen=True, slots=True)
class Yield:
    """What became of the candidates of one source; all fields count."""

    chunks: int = 0
    generated: int = 0
    sound: int = 0
    verified: int = 0
    kept: int = 0

    def __add__(self, other: Yield) -> Yield:
        """Field by field."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Yield(*(mine + theirs for mine, theirs in pairs))


@dataclass(frozen=True, slots=True)
class ChunkQaReport:
    """What a run did: yields by source and the content hash of the file."""

    yields: dict[str, Yield]
    content_hash: str


@dataclass(frozen=True, slots=True)
class _Done:
    generated: int
    sound: int
    candidates: tuple[CandidateQuestion, ...]


def verified(
    jobs: Sequence[ChunkJob],
    candidates: Sequence[Sequence[CandidateQuestion]],
    verifier: Reader,
) -> list[list[CandidateQuestion] | None]:
    """The candidates that `verifier` answers rightly from their chunk alone, one batch.

    None for a job with a call that failed.
    """
    flat = [
        (number, candidate) for number, written in enumerate(candidates) for candidate in written
    ]
    requests = [ReadRequest(candidate.question, (jobs[number].text,)) for number, candidate in flat]
    kept: list[list[CandidateQuestion] | None] = [[] for _ in jobs]
    answers = verifier.answer(requests) if requests else []
    for (number, candidate), answer in zip(flat, answers, strict=True):
        rows = kept[number]
        if answer.failed:
            kept[number] = None
        elif rows is not None:
            question = candidate.as_question("q", jobs[number].chunk)
            if score(answer.text, question) == 1.0:
                rows.append(candidate)
    return kept


def write_chunk_questions(
    source: Path,
    out: Path,
    generator: Generator,
    verifier: Reader,
    *,
    keep: int = 5,
    replace: bool = False,
    each: Callable[[int, int], None] = lambda done, total: None,
) -> ChunkQaReport:
    """Write `source` to `out` with chunk questions in it.

    Args:
        source: an episode file.
        out: the episode file to write; its progress file lies beside it.
        generator: writes the candidates.
        verifier: must answer a candidate from its chunk alone.
        keep: questions per chunk.
        replace: write new ones for chunks that have questions already.
        each: called with chunks done and in all.

    Raises:
        ConfigError: a progress file of other settings is in the way, or another process adds to it.
        DataError: the source is missing or malformed.
        BackendError: some calls failed; what was done is kept, and running again goes on.
    """
    progress = _Progress(out, _settings(source, generator, verifier, keep, replace))
    total = sum(len(_jobs(episode, replace)) for episode in read_episodes(source))
    failed = 0
    with progress:
        for part in _parts(source, replace, progress):
            each(len(progress.done), total)
            failed += _run(part, generator, verifier, progress)
    each(len(progress.done), total)
    if failed:
        raise BackendError(
            f"{failed} of {total} chunks have no questions, because calls failed. The others are "
            f"kept in {progress.path}; run the same command again to go on with these."
        )
    yields: dict[str, Yield] = defaultdict(Yield)

    def finished() -> Iterator[Episode]:
        for episode in read_episodes(source):
            made, counts = _finish(episode, progress, keep, replace)
            yields[episode.source] += counts
            yield made

    content_hash = write_episodes(out, finished())
    progress.path.unlink()
    return ChunkQaReport(dict(yields), content_hash)


def _jobs(episode: Episode, replace: bool) -> list[int]:
    return [t for t, chunk in enumerate(episode.chunks) if replace or not chunk.questions]


def _parts(source: Path, replace: bool, progress: _Progress) -> Iterator[list[ChunkJob]]:
    """Chunks still to do, in batches that may span episodes."""
    part: list[ChunkJob] = []
    for episode in read_episodes(source):
        for chunk in _jobs(episode, replace):
            if (episode.episode_id, chunk) not in progress.done:
                part.append(ChunkJob(episode, chunk))
            if len(part) == _PART:
                yield part
                part = []
    if part:
        yield part


def _run(jobs: list[ChunkJob], generator: Generator, verifier: Reader, progress: _Progress) -> int:
    """Generate and verify one batch; returns how many of its chunks failed."""
    generated = generator.generate(jobs)
    good = [
        [candidate for candidate in written or () if sound(candidate, job.text)]
        for written, job in zip(generated, jobs, strict=True)
    ]
    kept = verified(jobs, good, verifier)
    failed = 0
    for number, job in enumerate(jobs):
        written, answered = generated[number], kept[number]
        if written is None or answered is None:
            failed += 1
        else:
            progress.add(job, _Done(len(written), len(good[number]), tuple(answered)))
    progress.flush()
    return failed


def _finish(
    episode: Episode, progress: _Progress, keep: int, replace: bool
) -> tuple[Episode, Yield]:
    done = {t: progress.done[episode.episode_id, t] for t in _jobs(episode, replace)}
    made = choose(episode, {t: row.candidates for t, row in done.items()}, keep)
    counts = Yield(
        chunks=len(done),
        generated=sum(row.generated for row in done.values()),
        sound=sum(row.sound for row in done.values()),
        verified=sum(len(row.candidates) for row in done.values()),
        kept=sum(len(made.chunks[t].questions) for t in done),
    )
    return made, counts


def _settings(
    source: Path, generator: Generator, verifier: Reader, keep: int, replace: bool
) -> dict[str, Any]:
    digest = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else ""
    return {
        "schema": PROGRESS_SCHEMA,
        "source_sha256": digest,
        "generator": generator.version,
        "verifier": verifier.version,
        "keep": keep,
        "replace": replace,
    }


class _Progress:
    """The progress file: what is done by (episode id, chunk index)."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.path = out.with_name(f"{out.name}.partial")
        self.done: dict[tuple[str, int], _Done] = {}
        self._settings = settings
        self._kept = 0  # bytes of whole lines
        if self.path.exists():
            self._read()

    def __enter__(self) -> _Progress:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("r+b" if self._kept else "ab")
        hold(self._file.fileno(), self.path)
        self._file.truncate(self._kept)
        self._file.seek(self._kept)
        if not self._kept:
            self._file.write(_line(self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, job: ChunkJob, done: _Done) -> None:
        self.done[job.episode.episode_id, job.chunk] = done
        rows = [[one.question, one.answer, one.sentence] for one in done.candidates]
        record = [job.episode.episode_id, job.chunk, done.generated, done.sound, rows]
        self._file.write(_line(record))

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        """Take over the whole lines of an earlier run; half a line at the end is dropped."""
        for line in self.path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            record = json.loads(line)
            if not self._kept:
                self._check(record)
            else:
                name, chunk, generated, good, rows = record
                candidates = tuple(CandidateQuestion(*row) for row in rows)
                self.done[name, chunk] = _Done(generated, good, candidates)
            self._kept += len(line)

    def _check(self, kept: dict[str, Any]) -> None:
        for key, value in self._settings.items():
            if kept.get(key) != value:
                raise ConfigError(
                    f"{self.path}: an unfinished run with {key} {kept.get(key)!r}, not {value!r}. "
                    "Finish it with its own settings, or delete it."
                )


def _line(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"

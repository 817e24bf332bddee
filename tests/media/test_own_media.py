"""Media in an episode file: read, written, and every flaw one line when the environment is made."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from finemem_env import Chunk, Episode, MemoryEnv, Question
from finemem_env.data.schema import content_hash, read_episodes, write_episodes
from finemem_env.errors import DataError
from finemem_env.types import Medium
from tests.media.test_media import PNG, WAV

QUESTION = {"id": "q0", "question": "What?", "answers": ["mill"], "metric": "f1"}


def _write(folder: Path, media: object) -> Path:
    record = {
        "schema": "finemem-episode/1",
        "episode_id": "e",
        "competency": "AR",
        "source": "mine",
        "chunks": [{"id": "c0", "text": "Look.", "media": media}],
        "questions": [QUESTION],
    }
    path = folder / "mine.jsonl"
    path.write_text(json.dumps(record) + "\n", "utf-8")
    return path


def test_path_data_and_text_alone(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/mill.png").write_bytes(PNG)
    path = _write(
        tmp_path,
        [
            {"kind": "image", "path": "pictures/mill.png", "text": "The mill."},
            {"kind": "audio", "data": base64.b64encode(WAV).decode()},
            {"kind": "image", "text": "a photo"},
        ],
    )
    (episode,) = read_episodes(path)
    assert episode.chunks[0].media == (
        Medium("image", "The mill.", PNG),
        Medium("audio", "", WAV),
        Medium("image", "a photo"),
    )
    out = tmp_path / "elsewhere" / "copy.jsonl.gz"  # as data: it needs no file beside it
    assert write_episodes(out, [episode]) == content_hash([episode])
    assert list(read_episodes(out)) == [episode]


@pytest.mark.parametrize(
    "media, message",
    [
        ("x", r"chunks\[0\]: media: expected a list"),
        ([{"kind": "video", "text": "x"}], "kind: expected one of image, audio, found str 'video'"),
        ([{"text": "x"}], r"media\[0\]: kind: expected a non-empty string"),
        ([{"kind": "image"}], r"media\[0\]: text: expected a non-empty string, found no such key"),
        ([{"kind": "image", "url": "http://x"}], "unknown key 'url'"),
        ([{"kind": "image", "path": "a.png", "data": "x"}], 'expected either "path" or "data"'),
        ([{"kind": "image", "path": 3}], "path: expected a non-empty string"),
        ([{"kind": "image", "path": "no.png"}], "'no.png' cannot be read"),
        ([{"kind": "image", "path": "../a.png"}], "below its folder"),
        ([{"kind": "audio", "data": base64.b64encode(PNG).decode()}], "expected audio data"),
        ([{"kind": "image", "text": "x" * 16_385}], "text: expected at most 16384 characters"),
    ],
)
def test_a_flaw_is_one_line(media: Any, message: str, tmp_path: Path) -> None:  # noqa: ANN401
    path = _write(tmp_path, media)
    with pytest.raises(DataError, match=message) as caught:
        MemoryEnv(source=str(path))
    assert str(caught.value).startswith(f"{path}, line 1: chunks[0]")
    assert "\n" not in str(caught.value)


def test_a_flawed_medium_can_be_left_out_with_its_episode(tmp_path: Path) -> None:
    path = _write(tmp_path, [{"kind": "image", "text": "x"}])
    good = path.read_text("utf-8")
    bad = good.replace('"e"', '"f"').replace('"text": "x"', '"path": "no.png"')
    path.write_text(good + bad, "utf-8")
    env = MemoryEnv(source=str(path), on_error="skip")
    _, info = env.reset(seed=0)
    assert info["versions"]["left_out"].startswith("1 record: mine.jsonl, line 2")


def test_data_of_a_stream_are_checked_when_they_come() -> None:
    chunk = Chunk("c0", "Look.", media=(Medium("image", "x", b"junk"),))
    env = MemoryEnv(source=[chunk, Question("q", "What?", ("mill",))], memory_budget=100)
    with pytest.raises(DataError, match=r"media\[0\]: expected image data"):
        env.reset(seed=0)


def test_an_episode_made_in_python_has_no_paths(tmp_path: Path) -> None:
    chunks = (Chunk("c0", "Look.", media=(Medium("image", "\ud800"),)),)
    episode = Episode("e", "AR", "t", chunks, (Question("q", "What?", ("x",)),))
    with pytest.raises(DataError, match=r"cannot be written|lone surrogate"):
        write_episodes(tmp_path / "x.jsonl", [episode])

"""The episode file: exact round trips, equal bytes, and one clear error for each defect."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finemem_env.data.schema import (
    SCHEMA,
    canonical_line,
    content_hash,
    from_dict,
    read_episodes,
    to_dict,
    write_episodes,
)
from finemem_env.errors import DataError
from finemem_env.types import Chunk, Episode, Evidence, Question

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    count = draw(st.integers(1, 4))
    texts = draw(st.lists(TEXT, min_size=count, max_size=count))

    def question(name: str, step: int | None) -> Question:
        chunk = draw(st.integers(0, count - 1))
        quoted = Evidence(chunk, texts[chunk])
        until = None if step is None else draw(st.none() | st.integers(step, count - 1))
        return Question(
            id=name,
            question=f"{name}: {draw(TEXT)}",
            answers=tuple(draw(st.lists(TEXT, min_size=1, max_size=3))),
            metric=draw(st.sampled_from(["f1", "exact_match", "rouge_l"])),
            answers_mode=draw(st.sampled_from(["any", "all", "fraction"])),
            type=draw(st.sampled_from(["fact", "multi_hop", "label", "summary"])),
            choices=tuple(draw(st.lists(TEXT, max_size=3))),
            query_prefix=draw(st.just("") | TEXT),
            excluded=draw(st.sampled_from([(), ("one", "two"), ("three",)])),
            asked_after=draw(st.none() | st.integers(0, count - 1)) if step is None else None,
            valid_until=until,
            evidence=draw(st.sampled_from([(), (Evidence(chunk),), (quoted,)])),
        )

    chunks = tuple(
        Chunk(
            f"c{i}",
            text,
            draw(st.none() | TEXT),
            (question(f"k{i}", i),),
            draw(st.dictionaries(TEXT, st.integers() | TEXT, max_size=2)),
        )
        for i, text in enumerate(texts)
    )
    final = tuple(question(f"q{i}", None) for i in range(draw(st.integers(1, 3))))
    return Episode("e", "CR", "made", chunks, final, {"note": draw(TEXT)})


@given(episodes())
def test_to_dict_and_back_is_the_identity(episode: Episode) -> None:
    assert from_dict(to_dict(episode)) == episode
    assert from_dict(json.loads(canonical_line(episode))) == episode


@settings(max_examples=20)
@given(episodes())
def test_files_round_trip_plain_and_gzipped(episode: Episode) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain, zipped = Path(folder) / "a.jsonl", Path(folder) / "b.jsonl.gz"
        digest = write_episodes(plain, [episode])
        assert write_episodes(zipped, [episode]) == digest == content_hash([episode])
        assert list(read_episodes(plain)) == list(read_episodes(zipped)) == [episode]
        assert gzip.decompress(zipped.read_bytes()) == plain.read_bytes()


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path, tiny_episode: Episode) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_episodes(tmp_path / name, [tiny_episode])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, tiny_episode: Episode) -> None:
    path = tmp_path / "a.jsonl"
    write_episodes(path, [tiny_episode])
    before = path.read_bytes()
    bad = Episode("bad", "AR", "made", (), tiny_episode.questions)
    with pytest.raises(DataError, match="'bad': chunks: expected at least one"):
        write_episodes(path, [tiny_episode, bad])
    with pytest.raises(DataError, match="at least one episode"):
        write_episodes(path, [])
    unwritable = Episode("u", "AR", "made", tiny_episode.chunks, tiny_episode.questions, {"x": {1}})
    with pytest.raises(DataError, match="cannot be written"):
        write_episodes(path, [unwritable])
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


Record = dict[str, Any]
Change = Callable[[Record], object]


def _top(**values: object) -> Change:
    return lambda record: record.update(values)


def _chunk(number: int, **values: object) -> Change:
    return lambda record: record["chunks"][number].update(values)


def _final(number: int, **values: object) -> Change:
    return lambda record: record["questions"][number].update(values)


def _asked(chunk: int, **values: object) -> Change:
    return lambda record: record["chunks"][chunk]["questions"][0].update(values)


DEFECTS: dict[str, tuple[Change, str]] = {
    "schema": (_top(schema="finemem-episode/2"), f"schema: expected '{SCHEMA}'"),
    "no schema": (lambda r: r.pop("schema"), "expected a non-empty string, found no such key"),
    "competency": (_top(competency="XX"), "competency: expected one of AR, TTL"),
    "no chunks": (_top(chunks=[]), "chunks: expected at least one chunk"),
    "chunks type": (_top(chunks="x"), "chunks: expected a list, found str 'x'"),
    "no questions": (_top(questions=[]), "expected at least one final question"),
    "unknown key": (_top(chunk=[]), "unknown key 'chunk'. Did you mean 'chunks'"),
    "metadata": (_top(metadata=[]), "metadata: expected a JSON object"),
    "blank chunk": (_chunk(0, text=" "), "chunks[0]: text: expected a non-empty string"),
    "surrogate": (_chunk(0, text="\ud800"), "found a lone surrogate"),
    "chunk id": (_chunk(1, id="c0"), "chunks: id: expected different ids"),
    "chunk type": (lambda r: r["chunks"].append(3), "chunks[3]: expected a JSON object, found int"),
    "question id": (_final(1, id="q0"), "found 'q0' twice"),
    "no answers": (_final(0, answers=[]), "'q0': answers: expected at least one answer"),
    "blank answer": (_final(0, answers=[""]), "answers: expected a list of non-empty strings"),
    "answers type": (_final(0, answers="x"), "answers: expected a list"),
    "metric": (_final(0, metric="f2"), "unknown metric 'f2'"),
    "titles": (_final(0, metric="recall@5"), "metric 'recall@5' needs a list 'titles', found none"),
    "rubric": (_final(0, metric="beam/nuggets"), "needs a list 'rubric'"),
    "mode": (_final(0, answers_mode="one"), "one of any, all, fraction"),
    "type": (_final(0, type="fakt"), "type: expected one of fact"),
    "choices": (_final(0, type="choice"), "choices: expected at least two"),
    "evidence chunk": (_final(0, evidence=[[3, None]]), "a chunk index in 0..2, found 3"),
    "evidence form": (_final(0, evidence=[3]), "evidence: expected a list of [chunk index"),
    "evidence text": (_final(0, evidence=[[0, "No."]]), "'No.', which is not in it"),
    "asked_after": (_final(0, asked_after=3), "asked_after: expected a chunk index in 0..2"),
    "asked_after type": (_final(0, asked_after="1"), "expected an integer or null"),
    "asked_after of a chunk question": (_asked(0, asked_after=0), "expected none (chunk question)"),
    "valid_until of a final one": (_final(0, valid_until=1), "expected none (final question)"),
    "valid_until order": (_asked(2, valid_until=1), "expected an index in 2..2, found 1"),
    "chunk and final": (
        _asked(0, question="WHAT does the red key  open?"),
        "is also a final question",
    ),
}


@pytest.mark.parametrize(("change", "message"), DEFECTS.values(), ids=DEFECTS)
def test_each_defect_has_one_error_with_its_line(
    change: Change, message: str, tmp_path: Path, tiny_episode: Episode
) -> None:
    record = to_dict(tiny_episode)
    change(record)
    path = tmp_path / "bad.jsonl"
    path.write_text("\n" + json.dumps(record) + "\n")
    with pytest.raises(DataError) as error:
        list(read_episodes(path))
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected at least one episode"),
        (b"\n\n", "expected at least one episode"),
        (b"{", "line 1: expected a JSON object, found invalid JSON"),
        (b"[]", "line 1: expected a JSON object, found list"),
        (b"\xff\xfe", "line 1: expected UTF-8"),
        (b"[" * 100_000, "line 1: expected a JSON object, found invalid JSON"),
        (b'{"schema": NaN}', "NaN is not JSON"),
        (b"\x1f\x8bnot gzip", "cannot be read as an episode file"),
    ],
)
def test_files_that_are_no_episode_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_episodes(path))


def test_a_truncated_gzip_is_an_error(tmp_path: Path, tiny_episode: Episode) -> None:
    path = tmp_path / "a.jsonl.gz"
    write_episodes(path, [tiny_episode])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        list(read_episodes(path))


def test_a_missing_file_and_a_repeated_id_are_errors(tmp_path: Path, tiny_episode: Episode) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_episodes(tmp_path / "none.jsonl"))
    path = tmp_path / "a.jsonl"
    path.write_bytes(canonical_line(tiny_episode) * 2)
    with pytest.raises(DataError, match=r"line 2: episode_id 'tiny' is already used in line 1"):
        list(read_episodes(path))


def test_unusual_line_breaks_inside_a_text_do_not_end_the_line(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c"
    episode = Episode("e", "AR", "x", (Chunk("c0", text),), (Question("q", "?", ("a",)),))
    write_episodes(tmp_path / "a.jsonl", [episode])
    assert list(read_episodes(tmp_path / "a.jsonl")) == [episode]


def test_a_byte_order_mark_is_ignored(tmp_path: Path, tiny_episode: Episode) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + canonical_line(tiny_episode))
    assert list(read_episodes(path)) == [tiny_episode]


def test_questions_share_their_lists_of_excluded_values() -> None:
    asked = [
        Question(f"q{i}", f"Who is {i}?", ("A",), excluded=values)
        for i, values in enumerate([("B", "C"), ("B", "C"), ("D",)])
    ]
    episode = Episode("e", "AR", "s", (Chunk("c", "A is here."),), tuple(asked))
    record = json.loads(canonical_line(episode))
    assert record["excluded"] == [["B", "C"]]
    assert [one["excluded"] for one in record["questions"]] == [0, 0, ["D"]]
    assert from_dict(record) == episode


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, tiny_episode: Episode) -> None:
    path = tmp_path / "e.jsonl"
    line = canonical_line(tiny_episode)
    path.write_bytes(line.replace(b"{", b'{"source":"other",', 1))
    with pytest.raises(DataError, match="the key 'source' twice in one object"):
        list(read_episodes(path))


@pytest.mark.parametrize("excluded", [1, -1, True, "B", ["B", 3]])
def test_excluded_names_texts_or_a_list_of_the_episode(excluded: object) -> None:
    question = {"id": "q", "question": "Who?", "answers": ["A"], "metric": "f1", "type": "fact"}
    record = {
        "schema": SCHEMA,
        "episode_id": "e",
        "competency": "AR",
        "source": "s",
        "chunks": [{"id": "c", "text": "A is here."}],
        "questions": [question | {"excluded": excluded}],
        "metadata": {},
        "excluded": [["B"]],
    }
    with pytest.raises(DataError, match="excluded: expected a list of texts, or the number"):
        from_dict(record)

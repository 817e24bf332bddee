"""Fields of the episode file: splits, shared metadata, questions without an answer, exclusion."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401  (registers the ids)
from finemem_env.cli.build import main as build
from finemem_env.data.exclude import Exclusion
from finemem_env.data.registry import load_source
from finemem_env.data.schema import from_dict, read_episodes, to_dict, write_episodes
from finemem_env.data.source import SourceConfig
from finemem_env.env import MemoryEnv
from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import score
from finemem_env.types import Chunk, Episode, Question
from tests.data.publishers import write_all


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("fields") / "data")


def _file(path: Path, episode: Episode, *splits: str | None) -> str:
    """One record a split, with the ids e0, e1, …"""
    lines = []
    for number, split in enumerate(splits):
        record = to_dict(dataclasses.replace(episode, episode_id=f"e{number}"))
        if split is not None:
            record["split"] = split
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _ids(path: str, split: str) -> set[str]:
    source = load_source(path, SourceConfig(split))
    assert source.size is not None
    return {source.episode(index).episode_id for index in range(source.size)}


def test_a_split_holds_the_records_that_name_it(tmp_path: Path, tiny_episode: Episode) -> None:
    path = _file(tmp_path / "a.jsonl", tiny_episode, "train", "train", "test")
    assert _ids(path, "train") == {"e0", "e1"}
    assert _ids(path, "test") == {"e2"}
    env = gym.make("FineMem-AR-v0", source=path, split="test")
    assert {env.reset(seed=seed)[1]["episode_id"] for seed in range(8)} == {"e2"}
    with pytest.raises(
        ConfigError, match=r"no episode of split 'val'; it has train \(2\), test \(1"
    ):
        gym.make("FineMem-AR-v0", source=path, split="val")
    with pytest.raises(ConfigError, match="episode id"):
        load_source(path, SourceConfig("test")).get("e0")


def test_a_file_without_splits_is_whole_in_each(tmp_path: Path, tiny_episode: Episode) -> None:
    path = _file(tmp_path / "a.jsonl", tiny_episode, None, None)
    assert {split: len(_ids(path, split)) for split in ("train", "val", "test")} == {
        "train": 2,
        "val": 2,
        "test": 2,
    }


def test_a_split_is_in_every_record_or_in_none(tmp_path: Path, tiny_episode: Episode) -> None:
    path = _file(tmp_path / "a.jsonl", tiny_episode, "train", None)
    with pytest.raises(DataError, match="in every record or in none, found it in 1 of 2"):
        load_source(path)
    path = _file(tmp_path / "b.jsonl", tiny_episode, "dev")
    with pytest.raises(DataError, match="split: expected one of train, val, test, found str 'dev'"):
        load_source(path)


def test_the_split_of_the_older_form_is_read(tmp_path: Path, tiny_episode: Episode) -> None:
    record = to_dict(tiny_episode)
    record["metadata"] = {"split": "val"}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record))
    assert _ids(str(path), "val") == {"tiny"}
    with pytest.raises(ConfigError, match="no episode of split 'train'"):
        load_source(str(path))


def test_build_writes_the_split_of_every_record(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.jsonl"
    arguments = ["--data-dir", str(small), "--out", str(out), "--force"]
    build(["squality", "--split", "all", *arguments])
    named = [json.loads(line)["split"] for line in out.read_text().splitlines()]
    assert named == ["train"] * 3 + ["val"] * 3 + ["test"] * 3
    assert len(_ids(str(out), "val")) == 3
    again = tmp_path / "b.jsonl"
    build([str(out), "--split", "all", "--out", str(again)])
    assert again.read_bytes() == out.read_bytes()
    build(["synthetic", "--competency", "CR", "--episodes", "2", "--split", "val", *arguments])
    assert len(_ids(str(out), "val")) == 2
    build(["longmemeval", "--split", "all", "--episodes", "1", *arguments])
    assert "without split" not in capsys.readouterr().err


def test_build_of_a_file_without_splits_adds_none(tmp_path: Path, tiny_episode: Episode) -> None:
    path, out = _file(tmp_path / "a.jsonl", tiny_episode, None, None), tmp_path / "b.jsonl"
    build([path, "--split", "all", "--out", str(out)])
    assert (
        out.read_bytes() == (tmp_path / "a.jsonl").read_bytes() or len(_ids(str(out), "val")) == 2
    )
    assert '"split"' not in out.read_text()


def test_what_every_question_shares_is_written_once(small: Path, tmp_path: Path) -> None:
    config = SourceConfig("test", small, num_chunks=2, chunk_tokens=200)
    episode = load_source("redial", config).episode(0)
    assert len(episode.questions) > 10
    path = tmp_path / "a.jsonl"
    write_episodes(path, [episode])
    record = json.loads(path.read_text())
    titles = record["shared"]["titles"]
    assert titles == episode.questions[0].metadata["titles"]
    assert not any("titles" in question["metadata"] for question in record["questions"])
    assert path.read_text().count(f'"{titles[-1]}"') < 4
    (again,) = read_episodes(path)
    assert again == episode
    assert again.questions[0].metadata["titles"] is again.questions[1].metadata["titles"]
    # The older form, with everything in every question.
    for question in record["questions"]:
        question["metadata"] = {"titles": titles, **question["metadata"]}
    del record["shared"]
    assert from_dict(record) == episode


def test_metadata_that_differs_is_not_shared(tiny_episode: Episode) -> None:
    def marked(*values: object) -> Episode:
        pairs = zip(tiny_episode.questions, values, strict=True)
        asked = [dataclasses.replace(q, metadata={"note": value}) for q, value in pairs]
        plain = [dataclasses.replace(chunk, questions=()) for chunk in tiny_episode.chunks]
        return dataclasses.replace(tiny_episode, questions=tuple(asked), chunks=tuple(plain))

    for values in ((["a"], ["b"]), ("a", "a"), ([], [])):
        assert "shared" not in to_dict(marked(*values))
        assert from_dict(to_dict(marked(*values))) == marked(*values)
    assert to_dict(marked(["a"], ["a"]))["shared"] == {"note": ["a"]}
    lone = dataclasses.replace(marked(["a"], ["a"]), chunks=tiny_episode.chunks)
    assert "shared" not in to_dict(lone)  # the chunk questions do not have it


@pytest.mark.parametrize("answers", [[], None, ["He never says."]])
def test_unanswerable_in_a_file(answers: list[str] | None, tiny_episode: Episode) -> None:
    record: Any = to_dict(tiny_episode)
    record["questions"][0]["unanswerable"] = True
    if answers is None:
        del record["questions"][0]["answers"]
    else:
        record["questions"][0]["answers"] = answers
    episode = from_dict(record)
    question = episode.questions[0]
    assert question.unanswerable
    assert question.answers == tuple(answers or ["unknown"])
    assert score("The cellar.", question) == 0.0
    assert score("It is not mentioned.", question) == 1.0
    assert from_dict(to_dict(episode)) == episode
    assert not episode.questions[1].unanswerable


def test_unanswerable_is_true_or_false(tiny_episode: Episode) -> None:
    record: Any = to_dict(tiny_episode)
    record["questions"][0]["unanswerable"] = "yes"
    with pytest.raises(DataError, match="unanswerable: expected true or false, found str 'yes'"):
        from_dict(record)


def test_the_local_reader_abstains_where_no_item_says_anything() -> None:
    questions = (
        Question("q0", "Where does Mara live?", ("Osta",)),
        Question("q1", "Who is the king of Belm?", ("unknown",), unanswerable=True),
    )
    env = MemoryEnv(source=["Mara lives in Osta.", *questions], memory_budget="unlimited")
    env.reset(seed=0)
    *_, info = env.step('[{"op": "INSERT", "content": "Mara lives in Osta."}]')
    assert [answer["score"] for answer in info["answers"]] == [1.0, 1.0]
    assert info["reward_terms"]["global"] == 1.0


# What build writes is what is read.


UNREADABLE: dict[str, Callable[[Episode], Episode]] = {
    "blank chunk": lambda e: dataclasses.replace(e, chunks=(Chunk("c", " "), *e.chunks)),
    "blank id": lambda e: dataclasses.replace(e, episode_id=" "),
    "blank source": lambda e: dataclasses.replace(e, source=""),
    "blank question": lambda e: _first(e, question=" "),
    "blank gold": lambda e: _first(e, answers=("", "x")),
    "blank choice": lambda e: _first(e, choices=("a", " ")),
    "metric": lambda e: _first(e, metric="f2"),
    "index": lambda e: _first(e, asked_after=True),
    "type": lambda e: _first(e, type="essay"),
}


def _first(episode: Episode, **change: Any) -> Episode:  # noqa: ANN401
    first, *others = episode.questions
    return dataclasses.replace(episode, questions=(dataclasses.replace(first, **change), *others))


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_nothing_is_written_that_is_refused_when_read(
    change: Callable[[Episode], Episode], tmp_path: Path, tiny_episode: Episode
) -> None:
    with pytest.raises(DataError):
        write_episodes(tmp_path / "a.jsonl", [tiny_episode, change(tiny_episode)])
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_id_is_refused_when_written(tmp_path: Path, tiny_episode: Episode) -> None:
    with pytest.raises(DataError, match="'tiny': expected different episode ids"):
        write_episodes(tmp_path / "a.jsonl", [tiny_episode, tiny_episode])


# Questions that are never asked.


def _asked(env: gym.Env[str, str], seeds: int = 6) -> set[str]:
    session = env.unwrapped.session  # type: ignore[attr-defined]
    found: set[str] = set()
    for seed in range(seeds):
        env.reset(seed=seed)
        session = env.unwrapped.session  # type: ignore[attr-defined]
        found |= {question.id for question in session.episode.questions}
        found |= {q.id for chunk in session.episode.chunks for q in chunk.questions}
    return found


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.txt", "# known to be wrong\nq0  # the first\n\nk1\n"),
        ("a.json", '["q0", "k1"]'),
        ("a.json", '[{"question_id": "q0", "error_type": "X"}, {"id": "k1"}]'),
        ("a.jsonl", '{"question_id": "q0"}\n"k1"\n'),
    ],
)
def test_exclude_takes_a_file(
    name: str, content: str, tmp_path: Path, tiny_episode: Episode
) -> None:
    (tmp_path / name).write_text(content)
    source = _file(tmp_path / "e.jsonl", tiny_episode, None)
    env = gym.make("FineMem-AR-v0", source=source, exclude=str(tmp_path / name))
    _, info = env.reset(seed=0)
    assert info["versions"]["exclude"].startswith("2 ids ")
    assert _asked(env) == {"q2", "k0", "k2"}
    listed = gym.make("FineMem-AR-v0", source=source, exclude=["q0", "k1"])
    assert listed.reset(seed=0)[1]["versions"]["exclude"] == info["versions"]["exclude"]
    assert json.loads(env.spec.to_json())["kwargs"]["exclude"] == str(tmp_path / name)  # type: ignore[union-attr]


def test_exclude_by_episode_and_question(tmp_path: Path, tiny_episode: Episode) -> None:
    source = _file(tmp_path / "e.jsonl", tiny_episode, None, None)
    env = gym.make("FineMem-AR-v0", source=source, exclude=["e0/q0"])
    for name, left in (("e0", ["q2"]), ("e1", ["q0", "q2"])):
        env.reset(seed=0, options={"episode_id": name})
        session = env.unwrapped.session  # type: ignore[attr-defined]
        assert [question.id for question in session.episode.questions] == left


def test_an_episode_without_another_question_is_not_drawn(
    tmp_path: Path, tiny_episode: Episode
) -> None:
    source = _file(tmp_path / "e.jsonl", tiny_episode, None, None)
    env = gym.make("FineMem-AR-v0", source=source, exclude=["e0/q0", "e0/q2"])
    assert {env.reset(seed=seed)[1]["episode_id"] for seed in range(12)} == {"e1"}
    with pytest.raises(DataError, match="'e0': exclude leaves no question"):
        env.reset(seed=0, options={"episode_id": "e0"})
    none = gym.make("FineMem-AR-v0", source=source, exclude=["q0", "q2"])
    with pytest.raises(DataError, match="exclude: no question is left"):
        none.reset(seed=0)


@pytest.mark.parametrize(
    "given, message",
    [
        (3, "expected question ids or a file"),
        ([3], "expected question ids or a file"),
        ("nowhere.txt", "'nowhere.txt' cannot be read"),
    ],
)
def test_exclude_takes_ids_or_a_file(given: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match=message):
        gym.make("FineMem-AR-v0", exclude=given)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", "# nothing\n", "at least one question id"),
        ("a.json", "{}", "expected a list of question ids, found dict"),
        ("a.json", "[", "expected JSON"),
        ("a.json", '[{"question": "q"}]', '"question_id" or "id"'),
        ("a.jsonl", "q0\n", "expected JSON"),
    ],
)
def test_a_file_of_another_form_is_named(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as error:
        Exclusion.of(tmp_path / name)
    assert name in str(error.value)


def test_nothing_to_exclude_changes_nothing(tiny_episode: Episode) -> None:
    assert Exclusion.of(None) is None
    assert Exclusion.of([]) is None
    exclusion = Exclusion.of(["q99"])
    assert exclusion is not None
    assert exclusion.apply(tiny_episode) == tiny_episode
    assert exclusion.met == set()


def test_build_leaves_them_out_and_counts(
    tmp_path: Path, tiny_episode: Episode, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _file(tmp_path / "e.jsonl", tiny_episode, None, None)
    (tmp_path / "wrong.txt").write_text("e0/q0\ne0/q2\ne1/q0\nelsewhere\n")
    out = tmp_path / "out.jsonl"
    build([source, "--out", str(out), "--exclude", str(tmp_path / "wrong.txt")])
    said = capsys.readouterr().out
    assert "exclude: met 3 of 4 ids, left out 1 episodes without another question" in said
    assert f"{out}: 1 episodes" in said
    (episode,) = read_episodes(out)
    assert [question.id for question in episode.questions] == ["q2"]


def test_a_stream_takes_no_exclude() -> None:
    with pytest.raises(ConfigError, match="exclude: it does not apply to a stream"):
        MemoryEnv(source=["A chunk."], exclude=["q0"])


def test_a_hash_within_an_id_is_no_comment(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("1_0_0#0  # a dialogue\n# nothing\ne0/q1\n")
    exclusion = Exclusion.of(str(tmp_path / "ids.txt"))
    assert exclusion is not None
    assert exclusion.ids == {"1_0_0#0", "e0/q1"}

"""Every adapter, on small files in its publisher's format and on the real ones where present."""

from __future__ import annotations

from pathlib import Path

import pytest

from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.schema import from_dict, to_dict
from finemem_env.data.source import SPLITS, Source, SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.scoring import gold_prediction, is_judged, score
from finemem_env.text import approx_tokens, normalise, parse_example
from finemem_env.types import Episode
from tests.data.publishers import write_all

HELD = {
    "squad", "hotpotqa", "banking77", "clinc150", "csabstruct", "fairytaleqa", "squality", "mquake",
}  # fmt: skip
UNLIKE = {"locomo", "beam"}  # splits of their own: tests/data/test_conversations.py
ADAPTERS = sorted(
    name for name, spec in SOURCES.items() if spec.files and spec.competency and name not in UNLIKE
)
REAL = [
    name
    for name in ADAPTERS
    if name not in ("squad_full", "squad2") and SOURCES[name].files[0].split("/")[0] in HELD
]
WHOLE = {
    "fairytaleqa", "squality", "mquake", "mquake_sh", "mquake_mh", "qmsum", "booksum",
    "booksum_squality", "longmemeval", "perltqa",
}  # fmt: skip
NO_CHUNK_QUESTIONS = {
    "hotpotqa", "squality", "mquake", "mquake_sh", "mquake_mh", "qmsum", "booksum",
    "booksum_squality", "longmemeval", "musique", "redial",
}  # fmt: skip
NOT_DAILY = {"longmemeval"}  # its conversations carry dates of their own
EXTRACTIVE = {"squad", "squad_full", "hotpotqa", "fairytaleqa"}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("publishers") / "data")


def _small(name: str, data_dir: Path, split: str = "train") -> Source:
    packing: dict[str, object] = (
        {} if name in WHOLE else {"num_chunks": 4, "chunk_tokens": (60, 160)}
    )
    return load_source(name, SourceConfig(split=split, data_dir=data_dir, **packing))  # type: ignore[arg-type]


def _check_shape(episode: Episode, name: str) -> None:
    """What holds for an episode of any adapter; from_dict validates ids, indices and evidence."""
    assert from_dict(to_dict(episode)) == episode
    assert episode.source == name
    assert episode.competency == SOURCES[name].competency
    assert 1 <= len(episode.questions) <= 100
    if name not in NOT_DAILY:
        assert episode.chunks[0].time == "2024-01-01"
        assert sorted({chunk.time or "" for chunk in episode.chunks}) == [
            chunk.time for chunk in episode.chunks
        ]
    final = {normalise(question.question) for question in episode.questions}
    assert len(final) == len(episode.questions)
    for chunk in episode.chunks:
        assert len(chunk.questions) <= 5
        assert final.isdisjoint(normalise(question.question) for question in chunk.questions)
    asked = any(chunk.questions for chunk in episode.chunks)
    assert asked == (name not in NO_CHUNK_QUESTIONS)
    for question in (*episode.questions, *(q for c in episode.chunks for q in c.questions)):
        if not is_judged(question.metric):
            assert score(gold_prediction(question), question) == 1.0


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", ADAPTERS)
def test_small_files_give_valid_episodes(name: str, split: str, small: Path) -> None:
    source = _small(name, small, split)
    for index in range(2):
        _check_shape(source.episode(index), name)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_index_always_gives_the_same_episode_and_others_differ(name: str, small: Path) -> None:
    first, again = _small(name, small), _small(name, small)
    assert first.episode(1) == again.episode(1)
    assert first.episode(0).questions != first.episode(1).questions
    assert first.episode(0).episode_id == f"{name}/train/0"
    assert first.get(f"{name}/train/1") == again.episode(1)
    assert first.episode(0).questions != _small(name, small, "test").episode(0).questions


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", REAL)
def test_real_files_give_valid_episodes(name: str, split: str, data_dir: Path) -> None:
    source = load_source(name, SourceConfig(split=split, data_dir=data_dir))
    for index in range(3):
        episode = source.episode(index)
        _check_shape(episode, name)
        if name not in WHOLE:
            assert len(episode.chunks) == 10
            assert all(approx_tokens(chunk.text) <= 2048 for chunk in episode.chunks)


@pytest.mark.parametrize("name", ["squad", "fairytaleqa", "factconsolidation_sh", "mquake_sh"])
def test_evidence_says_the_answer(name: str, data_dir: Path) -> None:
    source = load_source(name, SourceConfig(split="test", data_dir=data_dir))
    said = total = 0
    for index in range(3):
        episode = source.episode(index)
        for question in episode.questions:
            if question.metric != "substring_exact_match":
                continue
            assert question.evidence
            text = " ".join(
                entry.sentence or episode.chunks[entry.chunk].text for entry in question.evidence
            )
            said += score(text, question) == 1.0
            total += 1
    assert total > 50
    assert said == total


def test_hotpot_evidence_is_in_two_paragraphs_and_mostly_says_the_answer(data_dir: Path) -> None:
    source = load_source("hotpotqa", SourceConfig(split="test", data_dir=data_dir))
    said = []
    for index in range(5):
        for question in source.episode(index).questions:
            assert len(question.evidence) >= 2
            assert question.type == "multi_hop"
            if question.answers[0] not in ("yes", "no"):
                text = " ".join(entry.sentence or "" for entry in question.evidence)
                said.append(score(text, question))
    assert sum(said) / len(said) > 0.95


def test_squad_keeps_paragraphs_and_titles(data_dir: Path) -> None:
    episode = load_source("squad", SourceConfig(data_dir=data_dir)).episode(0)
    blocks = [block for chunk in episode.chunks for block in chunk.text.split("\n\n")]
    assert all("\n" in block for block in blocks)
    for question in episode.questions:
        (entry, *_) = question.evidence
        assert str(entry.sentence) in episode.chunks[entry.chunk].text


@pytest.mark.parametrize("name", ["banking77", "clinc150", "csabstruct"])
def test_labels_are_codes_of_the_episode(name: str, small: Path) -> None:
    source = _small(name, small)
    meanings = set()
    for index in range(8):
        episode = source.episode(index)
        codes = episode.metadata["labels"]
        assert isinstance(codes, dict)
        assert list(codes) == [str(code) for code in range(len(codes))]
        meanings.add(codes["0"])
        examples = [parse_example(line) for c in episode.chunks for line in c.text.splitlines()]
        assert all(example is not None and example[1] in codes for example in examples)
        texts = {normalise(example[0]) for example in examples if example}
        assert all(normalise(question.question) not in texts for question in episode.questions)
        assert {q.answers[0] for q in episode.questions} <= set(codes)
        assert {q.metric for q in episode.questions} == {"exact_match"}
    assert len(meanings) > 1


def test_more_labels_than_there_are_is_an_error(small: Path) -> None:
    config = SourceConfig(data_dir=small, difficulty={"labels": 13})
    with pytest.raises(ConfigError, match=r"labels.*2 to 12, got 13"):
        load_source("banking77", config)


def test_a_text_too_short_for_the_chunks_is_an_error(small: Path) -> None:
    config = SourceConfig(data_dir=small, num_chunks=400, chunk_tokens=2000)
    for name in ("squad", "banking77", "hotpotqa", "factconsolidation"):
        with pytest.raises(ConfigError, match="ask for fewer or smaller chunks"):
            load_source(name, config).episode(0)


def test_a_story_is_told_whole_in_order(small: Path) -> None:
    for config in (
        SourceConfig(data_dir=small),
        SourceConfig(data_dir=small, num_chunks=2),
        SourceConfig(data_dir=small, chunk_tokens=(20, 30)),
    ):
        source = load_source("squality", config)
        assert source.size == 3
        episode = source.episode(1)
        told = " ".join(" ".join(chunk.text for chunk in episode.chunks).split())
        expected = " ".join(f"train 1 part {p} begins. Hero{p} goes on." for p in range(14))
        assert told == expected


def test_squality_asks_every_question_with_every_written_answer(small: Path) -> None:
    episode = _small("squality", small).episode(0)
    assert len(episode.questions) == 5
    for question in episode.questions:
        assert len(question.answers) == 4
        assert (question.metric, question.type) == ("rouge_l_content", "summary")


def test_fairytale_metric_follows_the_text(small: Path) -> None:
    episode = _small("fairytaleqa", small).episode(0)
    asked = [*episode.questions, *(q for chunk in episode.chunks for q in chunk.questions)]
    by_gold = {question.answers[0]: question for question in asked}
    assert by_gold["ring2"].metric == "substring_exact_match"
    assert by_gold["sad"].metric == "f1"
    summary = next(question for question in asked if question.id == "q99")
    assert summary in episode.questions
    assert summary.type == "multi_hop"
    assert len({entry.chunk for entry in summary.evidence}) == 2


def test_fairytale_section_in_two_rows_is_one_section(small: Path) -> None:
    path = next(small.glob("fairytaleqa/*/section-stories/train/train-tale-0-story.csv"))
    whole = path.read_text()
    path.write_text(f"{whole}2,And then he sang.\n")
    try:
        episode = _small("fairytaleqa", small).episode(0)
    finally:
        path.write_text(whole)
    told = " ".join(chunk.text for chunk in episode.chunks)
    assert told.index("room 2.") < told.index("he sang.") < told.index("lost ring3.")


def test_a_draw_short_of_text_gives_smaller_chunks(small: Path) -> None:
    config = SourceConfig(
        data_dir=small, num_chunks=10, chunk_tokens=(30, 300), difficulty={"labels": 2}
    )
    source = load_source("banking77", config)
    for index in range(20):
        sizes = [approx_tokens(chunk.text) for chunk in source.episode(index).chunks]
        assert len(sizes) == 10
        assert max(sizes) <= 300
        assert sum(sizes) > 500

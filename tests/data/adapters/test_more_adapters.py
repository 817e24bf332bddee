"""What is particular about the sources that rebuild parts of Memalpha."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from finemem_env.data.adapters.keywords import keywords_of
from finemem_env.data.published.dialects import PublishedSource, data_source_of, rule_for
from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.source import Source, SourceConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import score
from finemem_env.text import approx_tokens, normalise, parse_example
from tests.data.parquet_files import instance, mab_row, write_parquet
from tests.data.publishers import write_all

REBUILT = {
    "squad", "hotpotqa", "perltqa", "longmemeval", "nlu", "trec_coarse", "trec_fine", "pubmed_rct",
    "csabstruct", "booksum", "booksum_squality", "redial", "qmsum", "musique", "banking77",
    "clinc150",
}  # fmt: skip


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("more") / "data")


def _load(name: str, root: Path, split: str = "train", **options: Any) -> Source:  # noqa: ANN401
    return load_source(name, SourceConfig(split, root, **options))


@pytest.mark.parametrize("name", sorted(REBUILT))
def test_every_rebuilt_part_has_its_published_rule(name: str) -> None:
    rule = rule_for(name)
    assert rule is not None
    assert rule.competency == SOURCES[name].competency


@pytest.mark.parametrize("name", ["pubmed_rct", "nlu", "trec_coarse", "trec_fine"])
def test_labelled_sources_never_show_what_they_ask(name: str, small: Path) -> None:
    for split in ("train", "test"):
        source = _load(name, small, split, num_chunks=3, chunk_tokens=120)
        for index in range(3):
            episode = source.episode(index)
            shown = {
                normalise(example[0])
                for chunk in episode.chunks
                for line in chunk.text.splitlines()
                if (example := parse_example(line))
            }
            assert shown
            assert not shown & {normalise(q.question) for q in episode.questions}


@pytest.mark.parametrize("name", ["pubmed_rct", "nlu", "trec_coarse"])
def test_test_questions_are_never_seen_in_training(name: str, small: Path) -> None:
    options = {"num_chunks": 3, "chunk_tokens": 150}
    tested = {
        normalise(question.question)
        for index in range(6)
        for question in _load(name, small, "test", **options).episode(index).questions
    }
    assert tested
    for index in range(6):
        episode = _load(name, small, "train", **options).episode(index)
        text = normalise("\n".join(chunk.text for chunk in episode.chunks))
        asked = {normalise(question.question) for question in episode.questions}
        assert not tested & asked
        assert not [one for one in tested if f"{one} label" in text]


@pytest.mark.parametrize("original", [True, False])
def test_published_questions_can_be_kept_out(original: bool, small: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"num_chunks": 3, "chunk_tokens": 150}
    leaked = _load("nlu", small, **options).episode(0).questions
    asked = [(question.question, question.answers) for question in leaked]
    name = "icl_nlu_8296shot_balance"
    row = mab_row(name, "x", asked) if original else instance(0, name, asked)
    write_parquet(tmp_path / "test.parquet", [row])
    clean = _load("nlu", small, difficulty={"exclude": str(tmp_path)}, **options)
    banned = {normalise(question.question) for question in leaked}
    for index in range(4):
        episode = clean.episode(index)
        assert not banned & {normalise(question.question) for question in episode.questions}
        told = normalise("\n".join(chunk.text for chunk in episode.chunks))
        assert not [text for text in banned if f"{text} label" in told]
    with pytest.raises(DataError, match="expected parquet files of MemoryAgentBench"):
        _load("nlu", small, difficulty={"exclude": str(tmp_path / "none")})


def test_pubmed_chunks_have_the_published_size(small: Path) -> None:
    source = _load("pubmed_rct", small, num_chunks=1)
    size = approx_tokens(source.episode(0).chunks[0].text)
    assert 1024 * 0.7 < size <= 2048


def test_musique_tells_paragraphs_of_one_title_apart(small: Path) -> None:
    episode = _load("musique", small, "test", num_chunks=6, chunk_tokens=100).episode(0)
    for question in episode.questions:
        said = " ".join(entry.sentence or "" for entry in question.evidence)
        name = question.answers[0].removeprefix("maker").removesuffix("x7")
        assert f"Thing {name} 1 is old." in said
        assert f"maker{name}x7" in said
        assert len(question.answers) == 2
    titles = "\n".join(chunk.text for chunk in episode.chunks).count("Same title")
    assert titles > 1


def test_qmsum_evidence_is_where_the_turns_went(small: Path) -> None:
    source = _load("qmsum", small, chunk_tokens=60)
    assert source.size == 3
    episode = source.episode(1)
    general, specific = episode.questions
    assert general.evidence == ()
    told = " ".join(episode.chunks[entry.chunk].text for entry in specific.evidence)
    assert all(f"word{turn}." in told for turn in (3, 4, 20))
    assert len(specific.evidence) < len(episode.chunks)


def test_longmemeval_groups_questions(small: Path) -> None:
    source = _load("longmemeval", small)
    assert isinstance(source, PublishedSource)
    seen = {len(source.episode(index).questions) for index in range(12)}
    assert seen == {4, 5}
    episode = source.episode(0)
    told = "\n".join(chunk.text for chunk in episode.chunks)
    starts = [line for line in told.splitlines() if line.startswith("[Dialogue")]
    assert starts == sorted(starts)
    assert data_source_of(episode) == "lme_train"
    for question in episode.questions:
        assert question.metric == "judge"
        assert question.metadata["question_date"] == "2023/06/01 (Thu) 10:00"
        assert question.unanswerable == question.id.endswith("_abs")
        assert question.query_prefix == "Current date: 2023/06/01 (Thu) 10:00\n"
        (entry,) = question.evidence
        number = question.question.split()[-1].rstrip("?")
        assert f"thing{number} in town" in episode.chunks[entry.chunk].text


def test_perltqa_keywords_are_in_their_event(small: Path) -> None:
    source = _load("perltqa", small)
    episode = source.episode(0)
    assert len(episode.chunks) == 8
    asked = [*episode.questions, *(q for chunk in episode.chunks for q in chunk.questions)]
    assert len(asked) == 24
    for question in asked:
        (entry,) = question.evidence
        assert score(episode.chunks[entry.chunk].text, question) == 1.0
    assert "[Dialogue on 2022-05-12 10:00]" in episode.chunks[0].text
    with pytest.raises(ConfigError, match="one chunk an event"):
        _load("perltqa", small, num_chunks=3)


def test_redial_asks_for_what_was_suggested(small: Path) -> None:
    episode = _load("redial", small, "test", num_chunks=2, chunk_tokens=200).episode(0)
    told = "\n".join(chunk.text for chunk in episode.chunks)
    for question in episode.questions:
        (gold,) = question.answers
        assert gold.startswith("Film Number")
        assert "User: Hi" in question.question
        assert "I liked Heat" in question.question
        assert gold not in question.question
        assert "Recommender: Then" not in question.question
        assert score(f"1. Something\n2. {gold.lower()}", question) == 1.0
    assert "Recommender: Then try Film Number" in told


def test_booksum_asks_between_the_dates(small: Path) -> None:
    source = _load("booksum", small)
    given, extracted = source.episode(0), source.episode(1)
    assert given.questions[0].answers == ("Mara, gate0x5, train",)
    assert "Mara" in extracted.questions[0].answers[0]
    assert 5 <= len(given.chunks) <= 20
    assert f"to {given.chunks[-1].time}." in given.questions[0].question
    told = " ".join(chunk.text for chunk in given.chunks)
    assert told.count("Mara walked") == 120
    wrapped = load_source("booksum", SourceConfig("train", small, chunking="mem-alpha"))
    assert wrapped.episode(0).chunks[0].text.startswith("[Event happened on 2024-01-01 ")


def test_keywords_are_names_and_seldom_words() -> None:
    text = (
        "Old Mr. Tam Velt walked home, and Velt sang. The harbour was dark. Later the harbour "
        "burned, and everyone saw the lantern of Osta."
    )
    summary = "Velt sees the lantern while the harbour of Osta burns. Dragons appear. After that…"
    assert keywords_of(summary, text) == ("Velt", "lantern", "harbour", "Osta")
    assert keywords_of(summary, text, most=2) == ("Velt", "lantern")  # a name and a word


def test_a_name_is_a_whole_word_that_is_never_written_small() -> None:
    text = "On the costa of Osta, Will will sing to Anna. Tam came."
    assert keywords_of("Ann sings. Osta burns. Will sings. Tam dies.", text) == ("Osta",)


@pytest.mark.parametrize("name", ["squad", "banking77", "pubmed_rct", "hotpotqa"])
def test_chunks_are_dialogues_under_mem_alpha(name: str, small: Path) -> None:
    plain = SourceConfig("train", small, num_chunks=3, chunk_tokens=(60, 160))
    wrapped = dataclasses.replace(plain, chunking="mem-alpha")
    one, two = (load_source(name, config).episode(0) for config in (plain, wrapped))
    assert one.questions == two.questions
    for before, after in zip(one.chunks, two.chunks, strict=True):
        head = f"[Dialogue between User and Assistant on {before.time} 00:00]\n<User>"
        assert after.text.startswith(head)
        assert before.text in after.text
        assert after.questions == before.questions


@pytest.mark.parametrize(
    "name, file, content, message",
    [
        ("pubmed_rct", "pubmed_rct/train.txt", "AIM\tx", "expected a section"),
        ("pubmed_rct", "pubmed_rct/train.txt", "###1\n", "at least one sentence"),
        ("trec_coarse", "trec/train_5500.label", "What?", "expected '<COARSE>:<fine> <question>'"),
        ("nlu", "nlu/NLU-Data-Home-Domain-Annotated-All.csv", "a,b\n1,2", "column 'scenario'"),
        ("qmsum", "qmsum/train.jsonl", '{"meeting_transcripts": []}', "at least one turn"),
        ("longmemeval", "longmemeval/longmemeval_oracle.json", "[{}]", "haystack_dates"),
        ("perltqa", "perltqa/perltqa_en_v2.json", "{}", "expected a list of people"),
        ("booksum", "booksum/train.jsonl", '{"text": "a", "summary": "b"}', "keywords, or a"),
        ("musique", "musique/musique_full_v1.0_train.jsonl", '{"paragraphs": [3]}', "JSON object"),
        ("redial", "redial/train_data.jsonl", '{"messages": 3}', "messages: expected a list"),
    ],
)
def test_bad_files_are_named(
    name: str, file: str, content: str, message: str, tmp_path: Path
) -> None:
    root = write_all(tmp_path / "data")
    (root / file).write_text(content)
    with pytest.raises(DataError, match=message) as error:
        _load(name, root)
    assert file in str(error.value)

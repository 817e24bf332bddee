"""The published parquet files: schemas, splits, competencies, dialects, chunking, provenance."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from finemem_env.data.dialogue import header_date, join_labels, pack_sentences
from finemem_env.data.published.dialects import (
    DIALECTS,
    PublishedSource,
    in_dialect,
    judged_under,
    rule_for,
)
from finemem_env.data.registry import load_source
from finemem_env.data.schema import from_dict, to_dict
from finemem_env.data.source import Source, SourceConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import METRICS, gold_prediction, is_judged, score
from finemem_env.text import approx_tokens
from finemem_env.types import Competency, Episode
from tests.data.parquet_files import instance, mab_folder, memalpha_folder, write_parquet

SUB_DATASETS = [
    "squad",
    "hotpotqa",
    "perltqa",
    "lme_train",
    "pubmed-rct",
    "booksum",
    "icl_nlu_8296shot_balance",
    "icl_trec_coarse_6600shot_balance",
    "ruler_qa1_197K",
    "ruler_qa2_421K",
    "longmemeval_s*",
    "icl_banking77_5900shot_balance",
    "icl_clinic150_7050shot_balance",
    "icl_trec_fine_6400shot_balance",
    "infbench_sum_eng_shots2",
    "eventqa_full",
    "eventqa_65536",
    "recsys_redial_full",
    "detective_qa",
    "factconsolidation_sh_6k",
    "factconsolidation_mh_262k",
]


@pytest.fixture(scope="session")
def memalpha(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return memalpha_folder(tmp_path_factory.mktemp("memalpha"))


@pytest.fixture(scope="session")
def mab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mab_folder(tmp_path_factory.mktemp("mab") / "memoryagentbench").parent


def _load(
    name: str,
    root: Path,
    competency: Competency | None = None,
    **options: Any,  # noqa: ANN401
) -> Source:
    split = options.pop("split", "test")
    return load_source(name, SourceConfig(split, root, **options), competency)


def _episodes(source: Source) -> list[Episode]:
    assert source.size is not None
    return [source.episode(index) for index in range(source.size)]


def _by_name(source: Source) -> dict[str, Episode]:
    return {str(episode.metadata["data_source"]): episode for episode in _episodes(source)}


@pytest.mark.parametrize("name", SUB_DATASETS)
def test_every_published_sub_dataset_has_a_rule(name: str) -> None:
    rule = rule_for(name)
    assert rule is not None
    assert all(rule.metric(dialect) in METRICS for dialect in DIALECTS)
    assert isinstance(rule.prefix("mem-alpha") + rule.prefix("memoryagentbench"), str)


@pytest.mark.parametrize(
    "name, competency, mem_alpha, mab_metric",
    [
        ("squad", "AR", "mem-alpha/contains", "mab/substring_exact_match"),
        ("perltqa", "AR", "mem-alpha/keywords", "mab/substring_exact_match"),
        ("icl_clinic150_7050shot_balance", "TTL", "mem-alpha/boxed_digits", "mab/label"),
        ("ruler_qa2_421K", "AR", "mab/substring_exact_match", "mab/substring_exact_match"),
        ("longmemeval_s*", "AR", "mem-alpha/judge", "mab/judge"),
        ("infbench_sum_eng_shots2", "LRU", "mem-alpha/summary_evaluation", "mab/rouge_l"),
        ("infbench_sum_eng_shots2 (original)", "LRU", "mab/rouge_l", "mab/summary_judge"),
        ("recsys_redial_full", "TTL", "mab/recall@5", "mab/recall@5"),
        ("factconsolidation_mh_6k", "CR", "mab/substring_exact_match", "mab/substring_exact_match"),
    ],
)
def test_routing(name: str, competency: str, mem_alpha: str, mab_metric: str) -> None:
    rule = rule_for(name)
    assert rule is not None
    found = (rule.competency, rule.metric("mem-alpha"), rule.metric("memoryagentbench"))
    assert found == (competency, mem_alpha, mab_metric)


def test_the_case_bug_is_a_dialect_of_its_own() -> None:
    rule = rule_for("perltqa")
    assert rule is not None
    assert rule.metric("mem-alpha-case-bug") == "mem-alpha/keywords_case_bug"


def test_memalpha_episodes(memalpha: Path) -> None:
    source = _load("memalpha", memalpha, split="train")
    found = _by_name(source)
    for episode in found.values():
        assert from_dict(json.loads(json.dumps(to_dict(episode)))) == episode
        assert [chunk.time for chunk in episode.chunks] == [
            "2024-01-01",
            "2024-01-02",
            "2024-01-03",
        ]
        for question in episode.questions:
            if not is_judged(question.metric):
                assert score(gold_prediction(question), question) == 1.0
    assert isinstance(source, PublishedSource)
    assert source.data_sources >= {"squad", "hotpotqa"}
    assert source.provenance["commit"] == "local"
    assert len(source.provenance["sha256"]) == 64
    assert source.get("memalpha/train/1") == source.episode(1)


def test_memalpha_splits_are_disjoint_and_complete(memalpha: Path) -> None:
    held = {
        split: {episode.metadata["instance_id"] for episode in _episodes(source)}
        for split in ("train", "val")
        if (source := _load("memalpha", memalpha, split=split))
    }
    assert held["train"] | held["val"] == set(range(26))
    assert not held["train"] & held["val"]
    test = _load("memalpha", memalpha)
    assert test.size == 7
    assert test.episode(0).metadata["questions_without_answer"] == 1


@pytest.mark.parametrize(
    "competency, names",
    [
        ("TTL", {"icl_nlu_8296shot_balance", "icl_trec_coarse_6600shot_balance", "pubmed-rct"}),
        ("LRU", {"booksum"}),
        ("AR", {"squad", "perltqa", "lme_train"}),
    ],
)
def test_an_environment_gets_its_competency(
    memalpha: Path, competency: Competency, names: set[str]
) -> None:
    source = _load("memalpha", memalpha, competency)
    assert set(_by_name(source)) == names
    assert source.competencies == {competency}


def test_what_is_not_there_is_named(memalpha: Path) -> None:
    with pytest.raises(ConfigError, match=r"fits competency CR .* there is booksum \(LRU\)"):
        _load("memalpha", memalpha, "CR")
    with pytest.raises(ConfigError, match="data_source"):
        _load("memalpha", memalpha, difficulty={"data_source": "squat"})
    with pytest.raises(ConfigError, match="num_chunks and chunk_tokens do not apply"):
        _load("memalpha", memalpha, chunk_tokens=512)
    with pytest.raises(DataError, match=r"memalpha/test.parquet, which is missing"):
        _load("memalpha", memalpha / "nowhere")


def test_sub_datasets_can_be_chosen_and_judged_ones_left_out(memalpha: Path) -> None:
    chosen = _load("memalpha", memalpha, difficulty={"data_source": "squad, booksum"})
    assert set(_by_name(chosen)) == {"squad", "booksum"}
    unjudged = _load("memalpha", memalpha, "AR", difficulty={"judged": False})
    assert set(_by_name(unjudged)) == {"squad", "perltqa"}
    assert judged_under(frozenset({"lme_train", "squad"}), "own") == ["lme_train"]


def test_a_single_file_is_split_by_the_hash_of_its_rows(tmp_path: Path) -> None:
    rows = [instance(i, "squad", [("What?", f"v{i}")]) for i in range(60)]
    path = write_parquet(tmp_path / "mine.parquet", rows)
    found = {
        split: {
            episode.metadata["instance_id"]
            for episode in _episodes(
                _load("memalpha", tmp_path, split=split, difficulty={"path": str(path)})
            )
        }
        for split in ("train", "val", "test")
    }
    assert set.union(*found.values()) == set(range(60))
    assert sum(map(len, found.values())) == 60
    assert len(found["train"]) > 35


@pytest.mark.parametrize(
    "change, message",
    [
        ({"chunks": "not json"}, "chunks: expected a JSON list of texts|a list as JSON text"),
        ({"chunks": "[]"}, "a JSON list of texts"),
        ({"questions_and_answers": "[]"}, "at least one question with an answer"),
        ({"questions_and_answers": '[{"answer": "x"}]'}, "question: expected a non-empty string"),
        ({"data_source": "novels"}, "expected a sub-dataset .* found 'novels'"),
    ],
)
def test_bad_rows(tmp_path: Path, change: dict[str, str], message: str) -> None:
    row = instance(0, "squad", [("What?", "x")]) | change
    write_parquet(tmp_path / "memalpha" / "test.parquet", [row])
    with pytest.raises(DataError, match=message):
        _load("memalpha", tmp_path).episode(0)


def test_bad_files(tmp_path: Path) -> None:
    row = instance(0, "squad", [("What?", "x")])
    del row["data_source"]
    write_parquet(tmp_path / "memalpha" / "test.parquet", [row])
    with pytest.raises(DataError, match="expected a column 'data_source', found 'instance_id'"):
        _load("memalpha", tmp_path)
    (tmp_path / "memalpha" / "test.parquet").write_bytes(b"PAR0")
    with pytest.raises(DataError, match="expected a parquet file"):
        _load("memalpha", tmp_path)


@pytest.mark.parametrize("name", ["memalpha", "memoryagentbench"])
@pytest.mark.parametrize("path", ["nowhere", "nowhere.parquet", "note.txt"])
def test_a_path_that_is_not_there(name: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no data")
    given = {"path": str(tmp_path / path)}
    with pytest.raises(DataError, match=rf"{path}: expected a folder or a file \*.parquet"):
        _load(name, tmp_path, difficulty=given)


def test_answers_take_every_published_form(tmp_path: Path) -> None:
    asked = [
        ("a?", "x"),
        ("b?", ["x", "y", "x"]),
        ("c?", {"text": "z"}),
        ("d?", 7),
        ("e?", ["", None]),
    ]
    write_parquet(tmp_path / "memalpha" / "test.parquet", [instance(0, "squad", asked)])
    episode = _load("memalpha", tmp_path).episode(0)
    assert [question.answers for question in episode.questions] == [
        ("x",),
        ("x", "y"),
        ("z",),
        ("7",),
    ]


def test_mab_originals(mab: Path) -> None:
    source = _load("memoryagentbench", mab)
    found = _by_name(source)
    assert len(found) == source.size == 9
    for episode in found.values():
        assert from_dict(json.loads(json.dumps(to_dict(episode)))) == episode
        assert episode.metadata["original"] is True
    questions = found["longmemeval_s*"].questions
    assert questions[0].metadata == {
        "question_type": "temporal-reasoning",
        "question_date": "2023/05/30",
    }
    assert [question.unanswerable for question in questions] == [False, True]
    assert questions[0].query_prefix == "Current date: 2023/05/30\n"
    prefix = (
        in_dialect(found["longmemeval_s*"], "own", "memoryagentbench").questions[0].query_prefix
    )
    assert prefix.startswith("Answer from the conversations")
    assert prefix.endswith("\n\nCurrent date: 2023/05/30\n")
    (film,) = found["recsys_redial_full"].questions
    assert film.answers == ("Film 3", "Film 5")
    assert film.metadata["titles"] == [f"Film {i}" for i in range(8)]
    assert score("1. film3\n2. Fillm 5", film) == 1.0
    (summary,) = found["infbench_sum_eng_shots2"].questions
    assert summary.metadata["keypoints"] == ["Boxes exist.", "They hold things."]
    assert found["ruler_qa1_197K"].questions[0].id == "ruler_qa1_197K_no0"


@pytest.mark.parametrize(
    "competency, count", [("AR", 3), ("TTL", 2), ("LRU", 2), ("CR", 2), (None, 9)]
)
def test_mab_reads_the_parts_it_needs(mab: Path, competency: Competency | None, count: int) -> None:
    source = _load("memoryagentbench", mab, competency)
    assert source.size == count
    assert {episode.competency for episode in _episodes(source)} == source.competencies


@pytest.mark.parametrize("most", [512, 1024, 2048, 4096])
def test_contexts_are_cut_at_run_time(mab: Path, most: int) -> None:
    source = _load("memoryagentbench", mab, "AR", chunk_tokens=most)
    for episode in _episodes(source):
        sizes = [approx_tokens(chunk.text) for chunk in episode.chunks]
        assert max(sizes) <= most
        assert min(sizes[:-1] or [most]) > most - 60
        assert episode.metadata["chunk_tokens"] == most


def test_published_chunk_sizes(mab: Path) -> None:
    def sizes(chunking: str) -> dict[str, object]:
        found = _by_name(_load("memoryagentbench", mab, chunking=chunking))
        return {name.split("_")[0]: e.metadata["chunk_tokens"] for name, e in found.items()}

    assert sizes("memoryagentbench") == {
        "ruler": 512, "eventqa": 4096, "longmemeval": 512, "icl": 4096, "recsys": 4096,
        "infbench": 4096, "detective": 4096, "factconsolidation": 512,
    }  # fmt: skip
    assert sizes("mem-alpha")["icl"] == 1024
    assert sizes("mem-alpha")["ruler"] == 2048


def test_wrapped_contexts_carry_dates(mab: Path) -> None:
    found = _by_name(_load("memoryagentbench", mab, chunking="mem-alpha", chunk_tokens=512))
    for episode in found.values():
        days = [header_date(chunk.text) for chunk in episode.chunks]
        assert days == [chunk.time for chunk in episode.chunks]
        assert days[0] == "2024-01-01"
        assert len(set(days)) == len(days)
    labels = found["icl_banking77_5900shot_balance"]
    assert "\nlabel" not in labels.chunks[0].text
    assert "The user is reading a book" in found["infbench_sum_eng_shots2"].chunks[0].text


def test_labels_stay_with_their_examples(mab: Path) -> None:
    source = _load("memoryagentbench", mab, "TTL", chunk_tokens=100)
    episode = _by_name(source)["icl_banking77_5900shot_balance"]
    assert len(episode.chunks) > 5
    lines = [line for c in episode.chunks for line in c.text.splitlines() if line]
    assert len(lines) == 60
    assert all(" label: " in line for line in lines)


def test_mab_is_never_trained_on(mab: Path) -> None:
    for split in ("train", "val"):
        with pytest.raises(ConfigError, match="is a test set: use split='test'"):
            _load("memoryagentbench", mab, split=split)


def test_processed_mab_is_recognised(tmp_path: Path) -> None:
    rows = [instance(0, "ruler_qa1_197K", [("What?", "x")])]
    rows.append(instance(1, "infbench_sum_eng_shots2", [("Sum up.", ["owl", "barn"])]))
    write_parquet(tmp_path / "memoryagentbench" / "test.parquet", rows)
    source = _load("memoryagentbench", tmp_path, "LRU")
    (episode,) = _episodes(source)
    assert episode.questions[0].answers_mode == "fraction"
    assert in_dialect(episode, "mem-alpha", "own").questions[0].metric == (
        "mem-alpha/summary_evaluation"
    )


def test_recommendations_need_the_entities(tmp_path: Path) -> None:
    root = mab_folder(tmp_path / "memoryagentbench")
    (root / "entity2id.json").unlink()
    with pytest.raises(DataError, match="is missing; the recommendations"):
        _load("memoryagentbench", tmp_path, "TTL")
    icl = {"data_source": "icl_banking77_5900shot_balance"}
    assert _episodes(_load("memoryagentbench", tmp_path, "TTL", difficulty=icl))


def test_dialects_change_metrics_and_prefixes(mab: Path) -> None:
    found = _by_name(_load("memoryagentbench", mab))
    label = found["icl_banking77_5900shot_balance"]
    assert label.questions[0].metric == "boxed_label"
    published = in_dialect(label, "mem-alpha", "mem-alpha").questions[0]
    assert published.metric == "mem-alpha/boxed_digits"
    assert "\\boxed{label}" in published.query_prefix
    other = in_dialect(label, "memoryagentbench", "memoryagentbench").questions[0]
    assert (other.metric, "boxed" in other.query_prefix) == ("mab/label", False)
    assert in_dialect(label, "own", "own") is label
    summary = found["infbench_sum_eng_shots2"]
    assert in_dialect(summary, "memoryagentbench", "own").questions[0].metric == (
        "mab/summary_judge"
    )


def test_sources_pickle(memalpha: Path, mab: Path) -> None:
    for name, root in (("memalpha", memalpha), ("memoryagentbench", mab)):
        source = _load(name, root, "TTL")
        first = source.episode(0)
        assert pickle.loads(pickle.dumps(source)).episode(0) == first


def test_hub_needs_a_revision() -> None:
    with pytest.raises(ConfigError, match=r"hub='YuWangX/Memalpha' needs a revision"):
        _load("memalpha", Path("."), difficulty={"hub": "YuWangX/Memalpha"})


def test_the_hub_path_reads_a_folder_of_the_same_layout(
    memalpha: Path, mab: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("datasets", reason="needs the extra data (datasets)")
    datasets = __import__("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    asked: list[dict[str, object]] = []
    load = datasets.load_dataset

    def spy(name: str, **options: object) -> object:
        asked.append({"name": name, **options})
        return load(name, **options, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", spy)
    hub = {"hub": str(mab / "memoryagentbench")}
    through = _load("memoryagentbench", mab, "AR", difficulty=hub)
    local = _load("memoryagentbench", mab, "AR")
    assert [e.questions for e in _episodes(through)] == [e.questions for e in _episodes(local)]
    assert [e.chunks for e in _episodes(through)] == [e.chunks for e in _episodes(local)]
    assert asked == [{"name": hub["hub"], "split": "Accurate_Retrieval"}]
    films = _load("memoryagentbench", mab, "TTL", difficulty=hub)
    assert _episodes(films)[1].questions[0].answers == ("Film 3", "Film 5")
    folder = {"hub": str(memalpha / "memalpha")}
    assert _episodes(_load("memalpha", memalpha, "LRU", difficulty=folder))[0].chunks == (
        _episodes(_load("memalpha", memalpha, "LRU"))[0].chunks
    )


def test_the_hub_commit_is_resolved_and_recorded(
    mab: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the extra data (datasets)")
    hub = pytest.importorskip("huggingface_hub")
    load = datasets.load_dataset
    commit = "0123456789abcdef0123456789abcdef01234567"

    class Api:
        def dataset_info(self, name: str, revision: str) -> object:
            assert (name, revision) == ("someone/Bench", "v2")
            return type("Info", (), {"sha": commit})()

    def from_folder(name: str, split: str, revision: str) -> object:
        assert (name, revision) == ("someone/Bench", commit)
        folder = str(mab / "memoryagentbench")
        return load(folder, split=split, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(datasets, "load_dataset", from_folder)
    knobs = {"hub": "someone/Bench", "revision": "v2"}
    source = _load("memoryagentbench", mab, "CR", difficulty=knobs)
    local = _load("memoryagentbench", mab, "CR")
    assert isinstance(source, PublishedSource)
    assert isinstance(local, PublishedSource)
    assert source.provenance == {"commit": commit, "sha256": local.provenance["sha256"]}
    assert source.episode(0).metadata["commit"] == commit


def test_packing_keeps_or_flattens_lines() -> None:
    text = "One is one.\nTwo is two. Three is three.\n\nFour is four."
    assert pack_sentences(text, 6, approx_tokens) == [
        "One is one.",
        "Two is two.",
        "Three is three.",
        "Four is four.",
    ]
    assert pack_sentences(text, 8, approx_tokens)[0] == "One is one.\nTwo is two."
    assert pack_sentences(text, 8, approx_tokens, flat=True)[0] == "One is one. Two is two."
    assert pack_sentences("word " * 50, 8, approx_tokens) == [("word " * 50).strip()]
    assert join_labels("a b\nlabel: 3\n\nc\n Label : 4") == "a b label: 3\n\nc Label : 4"

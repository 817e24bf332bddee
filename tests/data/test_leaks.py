"""Nothing that is tested on is shown or asked in training, whatever the publisher's files share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from finemem_env.data.adapters.labelled import LabelledSource, Pool
from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.source import SPLITS, SourceConfig
from finemem_env.text import parse_example, sentence_key
from finemem_env.types import Episode
from tests.data.publishers import write_all

LABELLED = ("banking77", "clinc150", "csabstruct", "nlu", "pubmed_rct", "trec_coarse", "trec_fine")
PACKING = {"num_chunks": 3, "chunk_tokens": 150}


def _banking(root: Path) -> None:
    with (root / "banking77/train.csv").open("a") as out:
        out.write('"My TEST request: number 0 about topic1!",intent_1\n')


def _clinc(root: Path) -> None:
    path = root / "clinc150/data_full.json"
    data = json.loads(path.read_text())
    data["train"].append(["Please test number 0 of kind3?", "intent_3"])
    data["val"].append(["please, test number 1 of kind3", "intent_3"])
    path.write_text(json.dumps(data))


def _csabstruct(root: Path) -> None:
    record = {"sentences": ["This test text 3 is the METHOD part"], "labels": ["method"]}
    for file in ("train", "dev"):
        with (root / f"csabstruct/{file}.jsonl").open("a") as out:
            out.write(json.dumps(record) + "\n")


def _pubmed(root: Path) -> None:
    with (root / "pubmed_rct/train.txt").open("a") as out:
        out.write("\n###9\nMETHODS\tin test text 4 the METHODS part.\n")


def _trec(root: Path) -> None:
    with (root / "trec/train_5500.label").open("ab") as out:
        out.write("KINDC:fine2 What TREC_ is number 5 of caf\xe9 2?\n".encode("latin-1"))


def _nlu(root: Path) -> None:
    """Every request once more, with other punctuation, so that the hash splits the twins."""
    path = root / "nlu/NLU-Data-Home-Domain-Annotated-All.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([*lines, *(line.replace(", number", " number") for line in lines[1:])])
    )


LEAKS: dict[str, Callable[[Path], None]] = {
    "banking77": _banking,
    "clinc150": _clinc,
    "csabstruct": _csabstruct,
    "nlu": _nlu,
    "pubmed_rct": _pubmed,
    "trec_coarse": _trec,
    "trec_fine": _trec,
}


def _load(name: str, split: str, root: Path, **options: object) -> LabelledSource:
    return cast(LabelledSource, load_source(name, SourceConfig(split, root, **options)))  # type: ignore[arg-type]


def _keys(episode: Episode) -> tuple[set[str], set[str]]:
    """(shown, asked) texts of an episode."""
    lines = (line for chunk in episode.chunks for line in chunk.text.splitlines())
    shown = {sentence_key(example[0]) for line in lines if (example := parse_example(line))}
    asked = [*episode.questions, *(q for chunk in episode.chunks for q in chunk.questions)]
    return shown, {sentence_key(question.question) for question in asked}


def test_every_labelled_source_is_here() -> None:
    labelled = {
        name
        for name, spec in SOURCES.items()
        if spec.competency == "TTL" and spec.files and name != "redial"
    }
    assert labelled == set(LABELLED) == set(LEAKS)


@pytest.mark.parametrize("name", LABELLED)
def test_what_the_files_share_stays_in_the_later_part(name: str, tmp_path: Path) -> None:
    root = write_all(tmp_path / "data")
    LEAKS[name](root)
    parts = _load(name, "train", root).parts()
    assert parts.train.keys & parts.test.keys  # the files do share something
    tested = {
        key for i in range(8) for key in _keys(_load(name, "test", root, **PACKING).episode(i))[1]
    }
    assert tested <= parts.test.keys
    for split in SPLITS:
        source = _load(name, split, root, **PACKING)
        assert not Pool(source.shown).keys & parts.test.keys
        for index in range(6):
            shown, asked = _keys(source.episode(index))
            assert shown
            assert not shown & asked
            assert not shown & parts.test.keys
            assert split == "test" or not asked & parts.test.keys
            assert split != "train" or not asked & parts.val.keys


@pytest.mark.parametrize(
    "name, tested, in_train",
    [("banking77", 3076, 24), ("clinc150", 4499, 19), ("csabstruct", 1335, 164)],
)
def test_real_files_share_texts_and_training_does_not_show_them(
    name: str, tested: int, in_train: int, data_dir: Path
) -> None:
    parts = _load(name, "train", data_dir).parts()
    assert len(parts.test.keys) == tested
    assert len(parts.test.keys & parts.train.keys) == in_train
    for split in ("train", "val", "test"):
        source = _load(name, split, data_dir)
        for index in range(4):
            shown, asked = _keys(source.episode(index))
            assert not shown & parts.test.keys
            assert split == "test" or not asked & parts.test.keys

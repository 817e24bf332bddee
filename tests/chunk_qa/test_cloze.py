"""The local generator: what it masks, and how good its questions are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finemem_env.chunk_qa.candidates import CandidateQuestion, ChunkJob, Generator, sound
from finemem_env.chunk_qa.cloze import GAP, ClozeGenerator
from finemem_env.chunk_qa.pipeline import write_chunk_questions
from finemem_env.chunk_qa.quality import measure
from finemem_env.data.registry import load_source
from finemem_env.data.schema import read_episodes, write_episodes
from finemem_env.data.source import SourceConfig
from finemem_env.readers import LocalReader
from finemem_env.types import Chunk, Episode, Question


def _episode(*texts: str) -> Episode:
    chunks = tuple(Chunk(f"c{t}", text) for t, text in enumerate(texts))
    return Episode("e", "AR", "s", chunks, (Question("q", "Who is Zed?", ("Zed",)),))


def _masks(*texts: str) -> list[tuple[str, str]]:
    (found,) = ClozeGenerator().generate([ChunkJob(_episode(*texts), 0)])
    assert found is not None
    return [(one.answer, one.question) for one in found]


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("In the old town the mayor Tom Reed opened a library.", "Tom Reed"),
        ("The old library in the town was opened in 1897 by the mayor.", "1897"),
        ("Suddenly the old farmer sold his tractor to the other farmer.", "tractor"),
        ("Snoopy was drawn for many years by Charles M. Schulz alone.", "Charles M. Schulz"),
        ("The keys of the garden gate are kept at Mara's all winter.", "Mara"),
        ("12. The capital city of the northern country is called Osta.", "Osta"),
        ("still waiting for the card that I ordered label: card_arrival", "card_arrival"),
        ("Later the University of Osta hired three more young teachers.", "University of Osta"),
    ],
)
def test_what_is_masked(sentence: str, answer: str) -> None:
    ((found, question),) = _masks(sentence, "another chunk")
    assert found == answer
    assert question.startswith("Fill the gap: ")
    assert GAP in question
    assert not question.startswith("Fill the gap: 12")


@pytest.mark.parametrize(
    "sentence",
    [
        "Suddenly everyone was there again and again.",  # a capital that only opens the sentence
        '"Besides, it is not so bad as it was then," she said.',
        "Too short, Tom.",
        "word " * 60 + "Osta.",  # longer than an answer may be
        "",
    ],
)
def test_what_is_left_alone(sentence: str) -> None:
    assert _masks(sentence) == []


def test_a_common_word_is_no_rare_phrase() -> None:
    sentence = "Suddenly the old farmer sold everything, and so he lost the tractor."
    assert [answer for answer, _ in _masks(sentence, "no more")] == ["tractor"]
    assert _masks(sentence, "The tractor is red.") == []


def test_rare_answers_come_first_and_there_is_one_per_sentence() -> None:
    text = (
        "Everyone in the small village knows Mara Lind quite well.\n"
        "Then in the cold winter Tom Reed came with Mara Lind to stay.\n"
    )
    found = _masks(text, "Mara Lind again. " * 3)
    assert [answer for answer, _ in found] == ["Tom Reed", "Mara Lind"]


def test_is_a_generator_and_deterministic() -> None:
    generator = ClozeGenerator(3)
    assert isinstance(generator, Generator)
    assert generator.version == "cloze/1"
    episode = _episode("In 1897 Tom Reed opened the new library of Osta town.\n" * 2)
    assert generator.generate([ChunkJob(episode, 0)]) == ClozeGenerator(3).generate(
        [ChunkJob(episode, 0)]
    )


@settings(max_examples=80)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_gives_candidates_cut_from_it(text: str) -> None:
    (found,) = ClozeGenerator().generate([ChunkJob(_episode(text), 0)])
    for one in found or ():
        assert isinstance(one, CandidateQuestion)
        assert one.sentence is not None
        assert one.sentence in text
        assert one.answer in one.sentence


@pytest.mark.parametrize("name", ["squad", "hotpotqa", "squality"])
def test_quality_on_real_text(data_dir: Path, tmp_path: Path, name: str) -> None:
    source = load_source(name, SourceConfig(data_dir=data_dir), None)
    write_episodes(tmp_path / "in.jsonl", [source.episode(index) for index in range(2)])
    report = write_chunk_questions(
        tmp_path / "in.jsonl", tmp_path / "out.jsonl", ClozeGenerator(), LocalReader(), replace=True
    )
    (counts,) = report.yields.values()
    assert counts.verified >= 0.85 * counts.sound >= 0.8 * counts.generated
    assert counts.kept >= 4 * counts.chunks
    quality = measure(read_episodes(tmp_path / "out.jsonl"), LocalReader())
    assert quality.from_chunk == 1.0
    assert quality.from_the_rest <= 0.1
    assert quality.from_nothing == 0.0


def test_masked_answers_are_sound_on_real_text(data_dir: Path) -> None:
    episode = load_source("hotpotqa", SourceConfig(data_dir=data_dir), None).episode(1)
    jobs = [ChunkJob(episode, t) for t in range(len(episode.chunks))]
    written = ClozeGenerator().generate(jobs)
    good = [
        sound(one, job.text)
        for found, job in zip(written, jobs, strict=True)
        for one in found or ()
    ]
    assert sum(good) >= 0.9 * len(good)

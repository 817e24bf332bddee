"""What publishers mark in their files is read: spans, flags, dates, what has no answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401  (registers the ids)
from finemem_env.data.adapters import nlu
from finemem_env.data.aliases import telling
from finemem_env.data.files import Reading
from finemem_env.data.registry import load_source
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import Source, SourceConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import score
from finemem_env.types import Answer, Episode, Judge, JudgeRequest, ReadRequest
from tests.data.publishers import write_all


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("marks") / "data")


def _load(name: str, root: Path, split: str = "train", **options: Any) -> Source:  # noqa: ANN401
    return load_source(name, SourceConfig(split, root, **options))


def _write(path: Path, *records: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n")


# QMSum: spans count the publisher's turns, empty ones too.


def _meeting(turns: list[str], span: list[str]) -> dict[str, object]:
    return {
        "general_query_list": [],
        "specific_query_list": [
            {
                "query": "Where does Mara live?",
                "answer": "In Osta.",
                "relevant_text_span": [span],
            }
        ],
        "meeting_transcripts": [
            {"speaker": speaker, "content": text}
            for speaker, text in zip("ABCDEFGH", turns, strict=False)
        ],
    }


@pytest.mark.parametrize(
    "turns, span, steps",
    [
        (["", "Mara lives in Osta.", "It rains today."], ["1", "1"], [0]),
        (["It rains.", " ", "", "Mara lives in Osta."], ["3", "3"], [1]),
        (["It rains.", "", "Mara lives in Osta."], ["1", "2"], [1]),
        (["Mara lives in Osta.", "", "It rains."], ["1", "1"], []),  # an empty turn is no evidence
        (["Mara lives in Osta.", "It rains."], ["0", "99999999999"], [0, 1]),
        (["Mara lives in Osta.", "It rains."], ["7", "9"], []),
    ],
)
def test_spans_count_empty_turns(
    turns: list[str], span: list[str], steps: list[int], tmp_path: Path
) -> None:
    _write(tmp_path / "qmsum/train.jsonl", _meeting(turns, span))
    (question,) = _load("qmsum", tmp_path, num_chunks=2).episode(0).questions
    assert [entry.chunk for entry in question.evidence] == steps


# LongMemEval: dates, special kinds, variants, empty sessions, the sessions that hold the answer.


def _record(name: str, sessions: list[list[dict[str, object]]], **more: object) -> dict[str, Any]:
    return {
        "question_id": name,
        "question_type": "multi-session",
        "question": "Where do I live?",
        "answer": "Osta",
        "question_date": "2023/06/01 (Thu) 10:00",
        "haystack_dates": [f"2023/05/0{i + 1}" for i in range(len(sessions))],
        "haystack_session_ids": [f"s{i}" for i in range(len(sessions))],
        "haystack_sessions": sessions,
        "answer_session_ids": ["s1"],
        **more,
    }


def _turn(text: str, **more: object) -> dict[str, object]:
    return {"role": "user", "content": text, **more}


def _longmemeval(root: Path, *records: dict[str, Any]) -> Episode:
    path = root / "longmemeval" / "longmemeval_oracle.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(records))
    for split in ("train", "val", "test"):
        try:
            return _load("longmemeval", root, split, chunk_tokens=30).episode(0)
        except ConfigError:
            continue
    raise AssertionError("in no split")


def test_a_file_of_empty_sessions_is_one_clear_error(tmp_path: Path) -> None:
    empty = _record("q1", [[], [_turn("  ")]])
    with pytest.raises(
        DataError, match=r"oracle\.json: record 0: haystack_sessions: .*turn that s"
    ):
        _longmemeval(tmp_path, empty)


def test_an_empty_session_among_others_is_passed_over(tmp_path: Path) -> None:
    episode = _longmemeval(tmp_path, _record("q1", [[], [_turn("I live in Osta.")], []]))
    (chunk,) = episode.chunks
    assert chunk.text == (
        "[Dialogue between User and Assistant on 2023/05/02]\n<User> I live in Osta."
    )
    assert chunk.time == "2023/05/02"


def test_sessions_that_hold_the_answer_are_evidence_where_no_turn_is_marked(
    tmp_path: Path,
) -> None:
    long = "I went for a long walk along the river and I saw many birds and boats and trees."
    sessions = [[_turn(long)], [_turn("I live in Osta, as I said, near the old mill.")]]
    episode = _longmemeval(tmp_path, _record("q1", sessions))
    (question,) = episode.questions
    (entry,) = question.evidence
    assert "Osta" in episode.chunks[entry.chunk].text


def test_every_chunk_opens_with_the_date_of_what_it_tells(tmp_path: Path) -> None:
    turns = [_turn(f"On day {i} I walked for a long time along the river.") for i in range(6)]
    episode = _longmemeval(tmp_path, _record("q1", [turns, turns[:1]]))
    assert len(episode.chunks) > 2
    for chunk in episode.chunks:
        assert chunk.text.startswith("[Dialogue between User and Assistant on 2023/05/0")
        assert chunk.time is not None
        assert chunk.time in chunk.text.splitlines()[0]


class _Listener:
    """A reader and judge that keep what they are asked."""

    version = "listener/1"

    def __init__(self) -> None:
        self.read: list[ReadRequest] = []
        self.graded: list[str] = []

    def answer(self, requests: list[ReadRequest]) -> list[Answer]:
        self.read += requests
        return [Answer("I do not know.") for _ in requests]

    def judge(self, requests: list[JudgeRequest]) -> list[Answer]:
        self.graded += [request.text for request in requests]
        return [Answer("yes") for _ in requests]


@pytest.mark.parametrize("protocol", ["managed", "mem-alpha", "memoryagentbench"])
def test_the_date_reaches_reader_and_judge(protocol: str, small: Path) -> None:
    listener = _Listener()
    assert isinstance(listener, Judge)
    env = gym.make(
        "FineMem-AR-v0",
        source="longmemeval",
        data_dir=str(small),
        protocol=protocol,
        reader=listener,
        judge=listener,
        weights={"content": 0},
    )
    _, info = env.reset(seed=0)
    while not env.step('[{"op": "SKIP"}]')[2]:
        pass
    assert listener.read
    for request in listener.read:
        assert request.query_prefix.endswith("Current date: 2023/06/01 (Thu) 10:00\n")
        assert "2023" not in request.question
    assert len(listener.graded) == len(listener.read)
    assert all("(asked on 2023/06/01 (Thu) 10:00)" in text for text in listener.graded)
    assert info["num_chunks"] > 0


def test_questions_without_an_answer_are_graded_as_such(small: Path) -> None:
    source = _load("longmemeval", small)
    asked = [question for i in range(20) for question in source.episode(i).questions]
    without = [question for question in asked if question.unanswerable]
    assert without
    assert all("_abs" in question.id for question in without)
    assert len(without) < len(asked)


# NLU: what the publisher marks as irrelevant.


def test_nlu_leaves_out_what_is_marked(small: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "nlu").mkdir(parents=True)
    name = "nlu/NLU-Data-Home-Domain-Annotated-All.csv"
    head = (small / name).read_text().splitlines()[0]
    told = [
        ("", "wake me at five"),
        ("MOD", "play some jazz"),
        ("IRR_XL", "hello my name is nobody"),
        ("IRR_XR", "this is noise"),
        ("", "null"),
        ("", " NULL "),
        ("", ""),
    ]
    rows = [
        f"1;1;home;do{i % 2};{status};x;;;x;{text};ask" for i, (status, text) in enumerate(told)
    ]
    (root / name).write_text("\n".join([head, *rows]) + "\n")
    parts = nlu._parse(root / name, Reading(""))
    kept = {
        text
        for pool in (parts.train, parts.val, parts.test)
        for texts in pool.texts.values()
        for text in texts
    }
    assert kept == {"wake me at five", "play some jazz"}


# Aliases that any text contains.


def test_short_aliases_are_no_golds(tmp_path: Path) -> None:
    golds = ("United States", "US", "U.S.", "the U.S.A.", "USA", "America", "美国", "né")
    assert telling(golds) == ("United States", "the U.S.A.", "America", "美国")
    assert telling(("US", "United States")) == ("US", "United States")
    assert telling(()) == ()
    record = {
        "id": "2hop__1",
        "paragraphs": [
            {
                "idx": i,
                "title": f"T{i}",
                "paragraph_text": f"He told us of place {i}. It is in the United States.",
                "is_supporting": i < 2,
            }
            for i in range(6)
        ],
        "question": "Where?",
        "answer": "United States",
        "answer_aliases": ["US", "USA", "United States of America"],
        "answerable": True,
    }
    _write(tmp_path / "musique/musique_ans_v1.0_train.jsonl", record)
    source = _load("musique", tmp_path, num_chunks=1, chunk_tokens=100)
    (question,) = source.episode(0).questions
    assert question.answers == ("United States", "United States of America")
    assert score("He told us of place 3.", question) == 0.0


# SQuAD 2.0: questions that the paragraph does not answer.


def test_squad_2_has_questions_without_an_answer(small: Path) -> None:
    options: dict[str, Any] = {"num_chunks": 3, "chunk_tokens": 200}
    for split in ("train", "val", "test"):
        episode = _load("squad2", small, split, **options).episode(0)
        asked = [*episode.questions, *(q for c in episode.chunks for q in c.questions)]
        without = [question for question in asked if question.unanswerable]
        assert without
        assert len(without) < len(asked)
        for question in asked:
            assert score("unknown", question) == float(question.unanswerable)
            assert bool(question.evidence) != question.unanswerable
        assert not any(q.unanswerable for chunk in episode.chunks for q in chunk.questions)


def test_the_form_of_squad_2_is_read_under_the_other_name(small: Path, tmp_path: Path) -> None:
    (tmp_path / "squad").mkdir()
    text = (small / "squad/dev-v2.0.json").read_text()
    (tmp_path / "squad/dev-v1.1.json").write_text(text)
    source = _load("squad", tmp_path, num_chunks=3, chunk_tokens=200)
    assert any(question.unanswerable for question in source.episode(0).questions)
    (tmp_path / "squad/dev-v1.1.json").write_text(text.replace('"is_impossible": true', '"x": 1'))
    with pytest.raises(DataError, match=r"at least one answer, or is_impossible \(SQuAD 2\.0\)"):
        _load("squad", tmp_path)


# The judge that is missing: known when the environment is made, and no knob that is not there.


@pytest.mark.parametrize("name", ["longmemeval", {"longmemeval": 1, "squad": 1}])
def test_a_missing_judge_names_no_knob_that_the_source_lacks(
    name: str | dict[str, float], small: Path
) -> None:
    with pytest.raises(ConfigError, match=r"answers of longmemeval are graded by a judge") as error:
        gym.make("FineMem-AR-v0", source=name, data_dir=str(small))
    assert "judged" not in str(error.value).partition("Configure")[2]
    assert "data_source" not in str(error.value)
    assert "judge=…" in str(error.value)


def test_a_missing_judge_is_known_of_an_episode_file_too(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_episodes(path, [_load("longmemeval", small).episode(0)])
    with pytest.raises(ConfigError, match="answers of lme_train are graded by a judge"):
        gym.make("FineMem-AR-v0", source=str(path))


# ReDial: titles with years and slashes, and what the forms say of a film.


def _talk(texts: list[str], **forms: object) -> dict[str, object]:
    """Messages in turn, the seeker's first."""
    films = {
        "1": "Face/Off (1997)",
        "2": "Spider-Man (2002)",
        "3": "Heat (1995)",
        "4": "Heat (1986)",
        "5": None,
    }
    return {
        "conversationId": "7",
        "initiatorWorkerId": 0,
        "respondentWorkerId": 1,
        "movieMentions": films,
        "messages": [
            {"messageId": i, "senderWorkerId": i % 2, "timeOffset": i, "text": text}
            for i, text in enumerate(texts)
        ],
        "respondentQuestions": [],
        "initiatorQuestions": [],
        **forms,
    }


def _form(**suggested: int) -> dict[str, dict[str, int]]:
    return {key[1:]: {"suggested": mark, "seen": 0, "liked": 1} for key, mark in suggested.items()}


def _redial(root: Path, talk: dict[str, object]) -> Episode:
    other = _talk(["I like dogs", "See @3"], conversationId="8")
    _write(
        root / "redial/train_data.jsonl", *[{**other, "conversationId": str(i)} for i in range(9)]
    )
    _write(root / "redial/test_data.jsonl", talk, other)
    return _load("redial", root, "test", num_chunks=1, chunk_tokens=40).episode(0)


@pytest.mark.parametrize(
    "texts, forms, golds",
    [
        (["Hi", "Try @1 or @2"], {}, {"Face/Off (1997)", "Spider-Man (2002)"}),
        (["Hi", "Try @3", "And?", "The old @4"], {}, {"Heat (1995)", "Heat (1986)"}),
        (["I liked @3", "@3 is good, see @4"], {}, {"Heat (1986)"}),  # named in the question
        (["Hi", "I saw @2 too. Try @1"], {"respondentQuestions": _form(_1=1, _2=0)},
         {"Face/Off (1997)"}),
        (["Hi", "Try @1 or @2"],
         {"respondentQuestions": _form(_1=0, _2=1), "initiatorQuestions": _form(_1=1)},
         {"Face/Off (1997)", "Spider-Man (2002)"}),  # the seeker's form decides
    ],
)  # fmt: skip
def test_golds_are_what_was_suggested(
    texts: list[str], forms: dict[str, object], golds: set[str], tmp_path: Path
) -> None:
    episode = _redial(tmp_path, _talk(texts, **forms))
    question = next(one for one in episode.questions if one.id == "q7")
    assert set(question.answers) == golds
    assert not any(gold in question.question for gold in golds)
    assert set(question.metadata["titles"]) == {  # type: ignore[call-overload]
        "Face/Off (1997)", "Spider-Man (2002)", "Heat (1995)", "Heat (1986)",
    }  # fmt: skip
    listed = "\n".join(f"{i}. {gold}" for i, gold in enumerate(question.answers, start=1))
    assert score(listed, question) == 1.0


def test_a_talk_without_a_suggestion_is_not_asked(tmp_path: Path) -> None:
    talk = _talk(["I liked @1", "Me too, @1"], respondentQuestions=_form(_1=0))
    assert [one.id for one in _redial(tmp_path, talk).questions] == ["q8"]


def test_the_forms_are_handed_on(tmp_path: Path) -> None:
    form = {"1": {"suggested": 1, "seen": 1, "liked": 0}}
    episode = _redial(tmp_path, _talk(["Hi", "Try @1"], initiatorQuestions=form))
    question = next(one for one in episode.questions if one.id == "q7")
    assert question.metadata["forms"] == {"Face/Off (1997)": form["1"]}

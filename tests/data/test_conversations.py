"""LoCoMo and BEAM on small files in the publishers' formats."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from finemem_env import MemoryEnv
from finemem_env.data.registry import left_out, load_source
from finemem_env.data.schema import from_dict, to_dict
from finemem_env.data.source import Source, SourceConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import gold_prediction, judge_requests, judged_score, score
from finemem_env.types import Episode, Medium, Question
from tests.media.test_media import PNG


def _load(name: str, root: Path, split: str = "test", **options: Any) -> Source:  # noqa: ANN401
    return load_source(name, SourceConfig(split, root, **options))


# LoCoMo.


def _turn(session: int, turn: int, text: str, **more: object) -> dict[str, object]:
    speaker = ("Ana", "Ben")[turn % 2]
    return {"speaker": speaker, "dia_id": f"D{session}:{turn}", "text": text, **more}


def _dialogue(number: int) -> dict[str, Any]:
    return {
        "sample_id": f"conv-{number}",
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Ben",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                _turn(1, 1, f"Hey Ben! I painted a lake{number} last year."),
                _turn(1, 2, "", img_url=["x"], blip_caption="a photo of a dog", query="dog"),
                _turn(1, 3, ""),
                _turn(1, 4, "Look at him. He is called Rex."),
            ],
            "session_10_date_time": "4:04 pm on 9 October, 2023",
            "session_10": [_turn(10, 1, "I moved to Osta."), _turn(10, 2, "Great!")],
            "session_2_date_time": "1:14 pm on 25 May, 2023",
            "session_2": [_turn(2, 1, "I ran a race, and I bought red shoes and a hat.")],
            "session_3_date_time": "9:00 am on 1 June, 2023",
            "session_3": [],
            "session_4_date_time": "9:00 am on 2 June, 2023",
        },
        "qa": [
            {"question": "When did Ana paint a lake?", "answer": 2022, "evidence": ["D1:1"],
             "category": 2},
            {"question": "What did Ana buy?", "answer": "red shoes, a hat",
             "evidence": ["D2:1; D1:4", "D99:1", "D"], "category": 1},
            {"question": "Does Ben like animals?", "answer": "Likely yes; he has a dog",
             "evidence": ["D1:2", "D:1:04"], "category": 3},
            {"question": "Where did Ana move?", "answer": "Osta", "evidence": ["D10:1"],
             "category": 4},
            {"question": "Where did Ben move?", "adversarial_answer": "Osta", "evidence": ["D10:1"],
             "category": 5},
        ],
        "event_summary": {}, "observation": {}, "session_summary": {},
    }  # fmt: skip


@pytest.fixture
def locomo(tmp_path: Path) -> Path:
    (tmp_path / "locomo").mkdir()
    _write(tmp_path / "locomo/locomo10.json", [_dialogue(number) for number in range(5)])
    return tmp_path


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_locomo_is_told_session_by_session(locomo: Path) -> None:
    source = _load("locomo", locomo)
    assert source.size == 3
    episode = source.episode(0)
    assert from_dict(json.loads(json.dumps(to_dict(episode)))) == episode
    assert episode.metadata["conversation"] == "conv-2"
    assert [chunk.time for chunk in episode.chunks] == [
        "1:56 pm on 8 May, 2023",
        "1:14 pm on 25 May, 2023",
        "4:04 pm on 9 October, 2023",
    ]
    assert episode.chunks[0].text == (
        "[Dialogue between Ana and Ben on 1:56 pm on 8 May, 2023]\n"
        "Ben: Hey Ben! I painted a lake2 last year.\n"
        "Ana: [shows a photo of a dog]\n"
        "Ana: Look at him. He is called Rex."
    )


def test_locomo_images_are_media_where_they_are_asked_for(locomo: Path) -> None:
    place = locomo / "locomo" / "images" / "conv-2" / "D1_2.jpg"
    place.parent.mkdir(parents=True)
    place.write_bytes(PNG)  # told by its bytes, not by its name
    source = _load("locomo", locomo, difficulty={"images": True})
    chunk = source.episode(0).chunks[0]
    assert chunk.media == (Medium("image", "Ana shows a photo of a dog", PNG),)
    assert "Ana: [shares an image]\nAna: Look at him." in chunk.text
    assert source.episode(1).chunks[0].media[0].data == b""  # its caption alone
    assert not _load("locomo", locomo).episode(0).chunks[0].media
    env = MemoryEnv(
        source="locomo", split="test", data_dir=locomo, difficulty={"images": True, "file": "10"}
    )
    observation, _ = env.reset(seed=0)
    assert "tokens: Ana shows a photo of a dog]\n</chunk>" in observation
    place.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"'conv-2/D1_2.jpg': expected image data"):
        _load("locomo", locomo, difficulty={"images": True})


def test_locomo_questions(locomo: Path) -> None:
    asked = _load("locomo", locomo).episode(0).questions
    assert [question.id for question in asked] == [f"locomo_2_qa{i}" for i in range(5)]
    assert [question.answers for question in asked] == [
        ("2022",),
        ("red shoes, a hat",),
        ("Likely yes",),
        ("Osta",),
        ("unknown",),
    ]
    assert [question.metadata["category"] for question in asked] == [
        "temporal", "multi-hop", "open-domain", "single-hop", "adversarial",
    ]  # fmt: skip
    assert [question.unanswerable for question in asked] == [False] * 4 + [True]
    assert [question.type for question in asked].count("multi_hop") == 1
    assert [[entry.chunk for entry in question.evidence] for question in asked] == [
        [0], [0, 1], [0], [2], [2],
    ]  # fmt: skip
    assert asked[4].metadata["adversarial_answer"] == "Osta"
    for question in asked:
        assert score(gold_prediction(question), question) == 1.0
    assert score("Osta", asked[4]) == 0.0
    assert score("It is not mentioned.", asked[4]) == 1.0


@pytest.mark.parametrize(
    "prediction, gold, task, expected",
    [
        ("painting", "paints", "fact", 1.0),  # stemmed
        ("The red, shoes", "red and shoes", "fact", 1.0),
        ("red shoes", "red shoes, a hat", "fact", 0.8),
        ("red shoes", "red shoes, a hat", "multi_hop", 0.5),
        ("a hat, the red shoe", "red shoes, a hat", "multi_hop", 1.0),
        ("", "Osta", "fact", 0.0),
        ("the", "and", "multi_hop", 0.0),
        ("x", ",", "multi_hop", 0.0),
    ],
)
def test_locomo_f1(prediction: str, gold: str, task: Any, expected: float) -> None:  # noqa: ANN401
    question = Question("q", "?", (gold,), metric="locomo/f1", type=task)
    assert score(prediction, question) == pytest.approx(expected)


def test_locomo_splits_as_memory_r1_does(locomo: Path) -> None:
    names = {
        split: [_load("locomo", locomo, split).episode(0).metadata["conversation"]]
        for split in ("train", "val")
    }
    assert names == {"train": ["conv-0"], "val": ["conv-1"]}
    assert _load("locomo", locomo, "val").episode(0).questions[0].id == "locomo_1_qa0"
    _write(locomo / "locomo/locomo10.json", [_dialogue(0)])
    assert _load("locomo", locomo).size == 1
    with pytest.raises(ConfigError, match=r"1 conversation\(s\) with none for split 'train'"):
        _load("locomo", locomo, "train")


@pytest.mark.parametrize(
    "options, count", [({"num_chunks": 2}, 2), ({"chunk_tokens": 24}, 6), ({"num_chunks": 1}, 1)]
)
def test_locomo_can_be_packed(options: dict[str, Any], count: int, locomo: Path) -> None:
    episode = _load("locomo", locomo, **options).episode(0)
    assert len(episode.chunks) == count
    told = " ".join(chunk.text for chunk in episode.chunks)
    assert told.count("I moved to Osta.") == 1
    for question in episode.questions:
        assert question.evidence
    (entry,) = episode.questions[3].evidence
    assert "I moved to Osta." in episode.chunks[entry.chunk].text
    assert all(chunk.text.startswith("[Dialogue between Ana and") for chunk in episode.chunks)


def test_locomo_categories_can_be_chosen(locomo: Path) -> None:
    episode = _load("locomo", locomo, difficulty={"categories": "1, 5"}).episode(0)
    assert [question.id for question in episode.questions] == ["locomo_2_qa1", "locomo_2_qa4"]
    with pytest.raises(ConfigError, match="expected some of 1,2,3,4,5, got '6'"):
        _load("locomo", locomo, difficulty={"categories": "6"})


def test_what_is_left_out_of_locomo_moves_no_conversation_to_another_split(locomo: Path) -> None:
    told = [_dialogue(number) for number in range(5)]
    told[0]["qa"] = [entry for entry in told[0]["qa"] if entry["category"] != 5]
    _write(locomo / "locomo/locomo10.json", told)
    chosen = {"categories": "5"}
    val = _load("locomo", locomo, "val", difficulty=chosen).episode(0)
    assert val.metadata["conversation"] == "conv-1"
    with pytest.raises(ConfigError, match="none for split 'train'"):
        _load("locomo", locomo, "train", difficulty=chosen)
    told[0] = {"sample_id": "conv-0"}
    _write(locomo / "locomo/locomo10.json", told)
    with pytest.raises(ConfigError, match="none for split 'train'"):
        _load("locomo", locomo, "train", on_error="skip")
    test = _load("locomo", locomo, on_error="skip")
    assert [test.episode(i).metadata["conversation"] for i in range(test.size or 0)] == [
        "conv-2", "conv-3", "conv-4",
    ]  # fmt: skip


def test_locomo_in_a_file_for_each_conversation(locomo: Path) -> None:
    whole = _load("locomo", locomo).episode(0)
    (locomo / "locomo/locomo10.json").unlink()
    for number in range(5):
        record = _dialogue(number)
        _write(locomo / f"locomo/{number}.json", record | record.pop("conversation"))
    assert _load("locomo", locomo).episode(0) == whole
    _write(locomo / "locomo/locomo10.json", [_dialogue(0)])
    with pytest.raises(DataError, match=r"found 0\.json, .*, locomo10\.json; leave one"):
        _load("locomo", locomo)
    assert _load("locomo", locomo, difficulty={"file": "locomo10.json"}).size == 1


def test_golds_that_an_audit_found_wrong_can_be_left_out(locomo: Path, tmp_path: Path) -> None:
    audit = [
        {"question_id": "locomo_2_qa1", "error_type": "HALLUCINATION"},
        {"question_id": "locomo_3_qa0", "error_type": "TEMPORAL_ERROR"},
    ]
    _write(tmp_path / "errors.json", audit)
    env = gym.make(
        "FineMem-AR-v0", source="locomo", split="test", data_dir=str(locomo),
        exclude=str(tmp_path / "errors.json"),
    )  # fmt: skip
    env.reset(seed=0, options={"episode_id": "locomo/test/0"})
    session = env.unwrapped.session  # type: ignore[attr-defined]
    assert [question.id for question in session.episode.questions] == [
        "locomo_2_qa0", "locomo_2_qa2", "locomo_2_qa3", "locomo_2_qa4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d["qa"][0].pop("answer"), r"record 2: qa\[0\]: answer: expected a text or a n"),
        (lambda d: d["qa"][0].update(category=6), r"qa\[0\]: category: expected 1, 2, 3, 4 or 5"),
        (lambda d: d["conversation"]["session_1"][0].update(dia_id="x"), "dia_id: expected an id"),
        (lambda d: d["conversation"].update(session_1=[], session_2=[], session_10=[]),
         "session_1: expected at least one session"),
        (lambda d: d.update(qa=[]), "qa: expected at least one question"),
    ],
)  # fmt: skip
def test_bad_conversations(change: Any, message: str, locomo: Path) -> None:  # noqa: ANN401
    dialogues = [_dialogue(number) for number in range(5)]
    change(dialogues[2])
    _write(locomo / "locomo/locomo10.json", dialogues)
    with pytest.raises(DataError, match=message):
        _load("locomo", locomo)
    (flaw,) = left_out(_load("locomo", locomo, on_error="skip"))
    assert flaw.startswith("locomo/locomo10.json: record 2: ")


# BEAM.


def _message(number: int, role: str, text: str, **more: object) -> dict[str, object]:
    return {"role": role, "id": number, "content": text, **more}


def _chat() -> list[dict[str, Any]]:
    batches = []
    for batch in range(3):
        start = 4 * batch
        first = _message(
            start, "user", f"My sprint {batch} ends on day {batch}. ->-> {batch + 1},1",
            time_anchor=f"March-{batch + 1}-2024", index=f"{batch + 1},1",
            question_type="main_question",
        )  # fmt: skip
        turns = [
            [first, _message(start + 1, "assistant", f"Noted.\n\n* day {batch}\n* sprint")],
            [_message(start + 2, "user", f"And tool{batch}? ->-> {batch + 1},2"),
             _message(start + 3, "assistant", "Fine.")],
        ]  # fmt: skip
        batches.append({"batch_number": batch + 1, "turns": turns})
    return batches


def _probing() -> dict[str, list[dict[str, Any]]]:
    def entry(gold: str, text: str, ids: object, *rubric: str) -> dict[str, Any]:
        question = f"What of {text[:12]}?"
        return {"question": question, gold: text, "difficulty": "easy",
                "source_chat_ids": ids, "rubric": list(rubric or ("It says so",))}  # fmt: skip

    return {
        "abstention": [entry("ideal_response", "There is no information on it.", None)],
        "contradiction_resolution": [
            entry("ideal_answer", "You said both.", {"first_statement": [0], "second": [8]})
        ],
        "information_extraction": [entry("answer", "Sprint 1 ends on day 1.", [4], "Day 1", "x")],
        "instruction_following": [entry("expected_compliance", "It should be bold.", [99])],
        "summarization": [entry("ideal_summary", "Sprints and tools.", [0, 1, 5])],
    }


@pytest.fixture
def beam(tmp_path: Path) -> Path:
    for number in (1, 2, 10):
        folder = tmp_path / "beam/chats/100K" / str(number)
        _write(folder / "chat.json", _chat())
        _write(folder / "probing_questions/probing_questions.json", _probing())
    return tmp_path


def test_beam_chats(beam: Path) -> None:
    source = _load("beam", beam, chunk_tokens=64)
    assert source.size == 3
    assert [source.episode(i).metadata["chat"] for i in range(3)] == ["100K/1", "100K/2", "100K/10"]
    episode = source.episode(0)
    assert from_dict(json.loads(json.dumps(to_dict(episode)))) == episode
    told = "\n".join(chunk.text for chunk in episode.chunks)
    assert "->->" not in told
    assert "<User> My sprint 1 ends on day 1.\n" in told
    assert "<Assistant> Noted.\n\n* day 2\n* sprint" in told
    assert [chunk.time for chunk in episode.chunks] == [
        "March-1-2024", "March-2-2024", "March-3-2024",
    ]  # fmt: skip
    by_ability = {str(q.metadata["ability"]): q for q in episode.questions}
    assert [q.id for q in episode.questions if q.unanswerable] == ["100K/1/abstention-0"]
    assert [entry.chunk for entry in by_ability["contradiction_resolution"].evidence] == [0, 2]
    assert [entry.chunk for entry in by_ability["information_extraction"].evidence] == [1]
    assert by_ability["instruction_following"].evidence == ()
    assert by_ability["summarization"].type == "summary"
    assert by_ability["instruction_following"].answers == ("It should be bold.",)
    assert len(_load("beam", beam, num_chunks=2).episode(0).chunks) == 2
    assert len(_load("beam", beam).episode(0).chunks) == 1  # 2,048 tokens


def test_beam_nuggets(beam: Path) -> None:
    episode = _load("beam", beam).episode(0)
    question = next(q for q in episode.questions if q.metadata["rubric"] == ["Day 1", "x"])
    requests = judge_requests("<think>hm</think>On day 1", question)
    assert len(requests) == 2
    assert "Criterion: Day 1" in requests[0].text
    assert question.question in requests[0].text
    assert "hm" not in requests[0].text
    assert requests[0].prompt == "nugget/1"
    replies = ['{"score": 1}', 'So: {"score": 0.5, "why": "half"}']
    assert judged_score(replies, question) == 0.75
    for bad in ("", "1", '{"score": 2}', '{"score": "1"}', '<think>{"score": 1}</think>'):
        assert judged_score([replies[0], bad], question) is None
    bare = dataclasses.replace(question, metadata={})
    with pytest.raises(DataError, match="needs the criteria of a good reply"):
        judge_requests("x", bare)


def test_beam_needs_a_judge_or_another_metric(beam: Path) -> None:
    options: dict[str, Any] = {"source": "beam", "split": "test", "data_dir": str(beam)}
    with pytest.raises(ConfigError, match=r"answers of beam are .* judge=….*'metric': 'f1'"):
        gym.make("FineMem-AR-v0", **options)
    env = gym.make("FineMem-AR-v0", difficulty={"metric": "f1"}, **options)
    env.reset(seed=0)
    *_, over, _, info = env.step('[{"op": "SKIP"}]')
    assert over
    assert [answer["score"] for answer in info["answers"]] == [1.0, 0.0, 0.0, 0.0, 0.0]
    with pytest.raises(ConfigError, match="unknown metric 'f2'"):
        _load("beam", beam, difficulty={"metric": "f2"})


def test_beam_other_nestings(beam: Path) -> None:
    folder = beam / "beam/chats/100K/1"
    expected = _load("beam", beam, chunk_tokens=64).episode(0)
    flat = [[m for turn in batch["turns"] for m in turn] for batch in _chat()]
    plans = [{"plan-1": _chat()[:1]}, {"plan-2": _chat()[1:], "plan-3": None}]
    for content in (flat, plans):
        _write(folder / "chat.json", content)
        assert _load("beam", beam, chunk_tokens=64).episode(0) == expected
    _write(folder / "chat_trunecated.json", _chat()[:2])  # the publisher's spelling
    assert len(_load("beam", beam, chunk_tokens=64).episode(0).chunks) == 2


def test_a_day_that_begins_within_a_batch_is_told(beam: Path) -> None:
    chat = _chat()
    chat[1]["turns"][1][0]["time_anchor"] = "March-20-2024"
    _write(beam / "beam/chats/100K/1/chat.json", chat)
    episode = _load("beam", beam, chunk_tokens=32).episode(0)
    (told,) = (chunk for chunk in episode.chunks if "tool1" in chunk.text)
    assert "March-20-2024]\n<User> And tool1?" in told.text
    (entry,) = _asked(episode, "information_extraction-0").evidence
    assert "sprint 1" in episode.chunks[entry.chunk].text


def _asked(episode: Episode, name: str) -> Question:
    return next(one for one in episode.questions if one.id.endswith(f"/{name}"))


def test_an_id_that_is_used_twice_is_no_evidence(beam: Path) -> None:
    twice = [{"plan-1": _chat()}, {"plan-2": _chat()}]
    _write(beam / "beam/chats/100K/1/chat.json", twice)
    episode = _load("beam", beam, chunk_tokens=64).episode(0)
    assert len(episode.chunks) == 6
    assert not any(question.evidence for question in episode.questions)


def test_beam_is_for_testing_and_comes_in_sizes(beam: Path) -> None:
    with pytest.raises(ConfigError, match="is a test set"):
        _load("beam", beam, "train")
    with pytest.raises(ConfigError, match="Did you mean '100K'"):
        _load("beam", beam, difficulty={"chats": "128K"})
    with pytest.raises(DataError, match=r"beam/chats/1M/\*/probing_questions"):
        _load("beam", beam, difficulty={"chats": "1M"})


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("probing_questions/probing_questions.json", {"abstention": [{"question": "a?"}]},
         r"abstention\[0\]: answer: expected one of answer, ideal"),
        ("probing_questions/probing_questions.json",
         {"abstention": [{"question": "a?", "answer": "b", "rubric": []}]}, "at least one crit"),
        ("chat.json", [], "turns: expected messages that say something"),
        ("chat.json", [[{"role": "bot", "id": 1, "content": "x"}]], "role: expected one of user"),
    ],
)  # fmt: skip
def test_bad_chats(file: str, content: object, message: str, beam: Path) -> None:
    _write(beam / "beam/chats/100K/2" / file, content)
    with pytest.raises(DataError, match=message):
        _load("beam", beam)
    source = _load("beam", beam, on_error="skip")
    assert source.size == 2
    assert left_out(source)[0].startswith(f"beam/chats/100K/2/{file}")


def test_a_chat_that_is_missing_is_named(beam: Path) -> None:
    (beam / "beam/chats/100K/2/chat.json").unlink()
    with pytest.raises(DataError, match=r"100K/2/chat\.json is missing"):
        _load("beam", beam)

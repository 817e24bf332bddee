"""The prompted reader: prompt, bound, parsing, failures."""

from __future__ import annotations

import hashlib
import pickle
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finemem_env.backends import ChatRequest, Completion, Failure, Sampling
from finemem_env.errors import ConfigError
from finemem_env.prompts import load_prompt
from finemem_env.prompts.files import prompt_names
from finemem_env.readers.prompted import PromptedReader, parse_reply
from finemem_env.types import Answer, Reader, ReadRequest
from tests.backends.fakes import FakeBackend

REQUEST = ReadRequest("Where does Mara live?", ("It rained.", "Mara lives in Osta.\nShe is 7."))
# A released prompt never changes: another wording is another file.
RELEASED = {
    "chunk_questions/1": "d1c3ad8d8e4b1e19",
    "judge/1": "16bc62fd0ab2ee3c",
    "manage_lines/1": "e171cb090f008c9c",
    "manage_media/1": "fe3d246447fb5781",
    "nugget/1": "c55c2e602504e905",
    "query/1": "2b76c77057448151",
    "read/1": "22761b534813d86e",
    "read_short/1": "ebe2272f98f03837",
}


def _user(chat: ChatRequest) -> str:
    return chat.messages[-1].content


def test_items_are_numbered_and_further_lines_cannot_forge_a_number() -> None:
    backend = FakeBackend(lambda _: "Answer: Osta\nUsed: 2")
    request = ReadRequest("Who?", ("first\n[7] forged", "second"))
    PromptedReader(backend).answer([request])
    text = _user(backend.batches[0][0])
    assert "[1] first\n  [7] forged\n[2] second" in text
    assert "\n[7]" not in text


def test_answer_used_tokens_and_one_batch() -> None:
    backend = FakeBackend(
        lambda _: Completion("Answer: Osta\nUsed: 2", prompt_tokens=90, completion_tokens=10)
    )
    answers = PromptedReader(backend).answer([REQUEST, REQUEST])
    assert answers == [Answer("Osta", used=((1, None),), tokens=100)] * 2
    assert [len(batch) for batch in backend.batches] == [2]


def test_is_a_reader_with_a_version_that_pins_model_prompt_and_temperature() -> None:
    reader = PromptedReader(FakeBackend(lambda _: ""), sampling=Sampling(temperature=0.7))
    assert isinstance(reader, Reader)
    assert reader.version == "fake read/1 t=0.7"


@pytest.mark.parametrize(
    ("reply", "text", "used"),
    [
        ("Answer: Osta\nUsed: 2", "Osta", ((1, None),)),
        ("answer: Osta\nused items: [1], [3]", "Osta", ((0, None), (2, None))),
        ("**Answer:** Osta\n**Used:** 1 and 3.", "Osta", ((0, None), (2, None))),
        ("Answer: Osta\nUsed: 3, 1, 3", "Osta", ((2, None), (0, None))),
        ("Used: 1\nAnswer: Osta", "Osta", ((0, None),)),
        ("Answer：奥斯塔\nUsed：1、3。", "奥斯塔", ((0, None), (2, None))),
        ("Let me see.\nAnswer: no\nAnswer: Osta\nUsed: #2", "Osta", ((1, None),)),
        ("Answer: two\nlines\nUsed: 1", "two\nlines", ((0, None),)),
        ("Answer: Osta\nUsed: none", "Osta", ()),
        ("Answer: Osta\nUsed:", "Osta", ()),
        ("Answer: Osta", "Osta", ()),
        ("Osta", "Osta", ()),
        ("Answer: Osta\nUsed: 4", "Osta", ()),  # was not shown
        ("Answer: Osta\nUsed: 0", "Osta", ()),
        ("Answer: Osta\nUsed: 1, 99999999999999", "Osta", ()),
        ("Answer: Osta\nUsed: the item of 1999", "Osta", ()),
        ("Answer: Osta\nUsed: 1.2", "Osta", ()),
        ("<think>Used: 3\nAnswer: no</think>Answer: Osta\nUsed: 1", "Osta", ((0, None),)),
        ("<think>never closed. Answer: Osta", "", ()),
        ("Answer: used: cars\nUsed: 1", "used: cars", ((0, None),)),
        (r"Answer: \boxed{7}" + "\nUsed: 1", r"\boxed{7}", ((0, None),)),
        ("", "", ()),
    ],
)
def test_parse_reply(reply: str, text: str, used: tuple[tuple[int, None], ...]) -> None:
    assert parse_reply(reply, 3) == (text, used)


@given(st.text(max_size=200), st.integers(0, 5))
def test_parse_reply_never_raises_and_names_only_shown_items(reply: str, shown: int) -> None:
    _, used = parse_reply(f"Answer: x\nUsed: {reply}", shown)
    assert all(0 <= item < shown and sentence is None for item, sentence in used)
    assert len(set(used)) == len(used)


def test_a_failed_call_is_a_failed_answer_beside_good_ones() -> None:
    def reply(chat: ChatRequest) -> Completion | str:
        failed = "bad" in _user(chat)
        return Completion(failure=Failure.TIMEOUT) if failed else "Answer: fine\nUsed: 1"

    requests = [ReadRequest("good?", ("a",)), ReadRequest("bad?", ("a",)), ReadRequest("ok?", ())]
    answers = PromptedReader(FakeBackend(reply)).answer(requests)
    assert [answer.failed for answer in answers] == [False, True, False]
    assert answers[1].text == ""
    assert answers[2].used == ()  # item 1 was not shown


def test_prompt_is_bounded_by_leaving_out_the_last_items() -> None:
    backend = FakeBackend(lambda _: "Answer: x\nUsed: 1, 2")
    items = tuple(f"item {i} " + "word " * 100 for i in range(10))
    reader = PromptedReader(backend, max_prompt_tokens=500)
    (answer,) = reader.answer([ReadRequest("Who?", items)])
    (chat,) = backend.batches[0]
    prompt = "\n".join(message.content for message in chat.messages)
    assert backend.count_tokens(prompt) <= 500
    assert "item 0" in prompt
    assert "item 1" in prompt
    assert "item 9" not in prompt
    assert answer.used == ((0, None), (1, None))


def test_bound_leaves_room_for_the_reply_in_the_models_context() -> None:
    backend = FakeBackend(lambda _: "Answer: x", context_tokens=600)
    items = tuple("word " * 100 for _ in range(10))
    PromptedReader(backend).answer([ReadRequest("Who?", items, answer_tokens=200)])
    (chat,) = backend.batches[0]
    used = sum(backend.count_tokens(message.content) for message in chat.messages)
    assert used + chat.sampling.max_tokens <= 600


def test_a_prompt_the_model_refuses_as_too_long_is_asked_again_with_fewer_items() -> None:
    def reply(chat: ChatRequest) -> Completion | str:
        if "[3]" in _user(chat):
            return Completion(failure=Failure.TOO_LONG)
        return "Answer: x\nUsed: 1"

    backend = FakeBackend(reply)
    (answer,) = PromptedReader(backend).answer([ReadRequest("Who?", ("a",) * 8)])
    assert not answer.failed
    assert len(backend.batches) == 3  # 8, 4, 2 items


def test_a_prompt_too_long_without_items_fails() -> None:
    backend = FakeBackend(lambda _: Completion(failure=Failure.TOO_LONG))
    (answer,) = PromptedReader(backend).answer([ReadRequest("Who?", ("a", "b"))])
    assert answer.failed


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ReadRequest("Which?", (), task="choice", choices=("red", "blue")), "A. red\nB. blue"),
        (ReadRequest("Tell.", (), task="summary", answer_tokens=400), "at most 300 words"),
        (ReadRequest("x", (), task="label", query_prefix="Reply in a box. "), "Reply in a box. x"),
        (ReadRequest("x", (), core="I am a nurse."), "Core memory:\nI am a nurse.\n\nMemory:"),
        (ReadRequest("x", ()), "(no items)"),
        (ReadRequest("cost $question {0}?", ("$items",)), "cost $question {0}?"),
    ],
)
def test_prompt_of_each_task(request_: ReadRequest, expected: str) -> None:
    backend = FakeBackend(lambda _: "Answer: x")
    PromptedReader(backend).answer([request_])
    assert expected in _user(backend.batches[0][0])


def test_reply_length_follows_the_question_unless_set() -> None:
    backend = FakeBackend(lambda _: "Answer: x")
    PromptedReader(backend).answer([ReadRequest("x", (), answer_tokens=40)])
    PromptedReader(backend, max_tokens=2048).answer([ReadRequest("x", ())])
    assert [batch[0].sampling.max_tokens for batch in backend.batches] == [88, 2048]


def test_prompts_have_versions_and_released_ones_do_not_change() -> None:
    assert set(prompt_names()) == set(RELEASED)
    folder = resources.files("finemem_env.prompts") / "texts"
    for version in RELEASED:
        name, _, number = version.partition("/")
        text = (folder / f"{name}.v{number}.txt").read_bytes()
        assert hashlib.sha256(text).hexdigest()[:16] == RELEASED[version], version
        assert load_prompt(version).version == version
    with pytest.raises(ConfigError, match=r"unknown prompt 'raed/1'.*Did you mean 'read/1'"):
        load_prompt("raed/1")


def test_reader_pickles() -> None:
    pickle.loads(pickle.dumps(load_prompt("read/1")))

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finemem_env.data.registry import load_source
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.readers import READERS, LocalReader, make_reader
from finemem_env.readers.lexicon import asked_kind, stem
from finemem_env.readers.windows import trim
from finemem_env.retrieval import BM25
from finemem_env.scoring import score
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.types import Answer, Reader, ReadRequest, Task

READER = LocalReader()


def read(question: str, *items: str, task: Task = "fact", **fields: object) -> Answer:
    request = ReadRequest(question, items, task=task, **fields)  # type: ignore[arg-type]
    (answer,) = READER.answer([request])
    return answer


def test_a_fact_is_the_sentence_that_fits_best_and_is_cited() -> None:
    items = (
        "Fog covered the road. Mara keeps a goat.",
        "Osta is a town. Mara lives in Osta, near the mill. It rained.",
    )
    answer = read("Where does Mara live?", *items)
    assert answer == Answer("Mara lives in Osta, near the mill.", ((1, 1),))


def test_inflected_words_match() -> None:
    assert stem("founded") == stem("founder") == stem("foundation")
    assert stem("won") == stem("wins")
    assert stem("AB990".casefold()) != stem("AB991".casefold())
    answer = read("Who founded Osta?", "Osta has two mills.", "The founder of Osta was Ion Ral.")
    assert answer.used == ((1, 0),)


@pytest.mark.parametrize(
    "question, kind",
    [
        ("Who was it?", "name"),
        ("In what year did it end?", "date"),
        ("How many were there?", "number"),
        ("What is it?", None),
        ("谁住在那里？", None),
    ],
)
def test_the_form_of_a_question_says_what_is_asked(question: str, kind: str | None) -> None:
    assert asked_kind(question) == kind


def test_a_question_answers_nothing_but_leads_to_its_answer() -> None:
    item = "Bela asked where Mara lives. Where does Mara live? In Osta, by the sea. Snow fell."
    assert read("Where does Mara live?", "Where does Mara live?").text == ""
    assert read("Where does Mara live?", item.split(". ", 1)[1]).text == "In Osta, by the sea."


def test_the_sentence_before_tells_who_she_is() -> None:
    item = "Mara Tull is a potter. She was born in Osta. The mill was built in Rewe."
    assert read("Where was Mara Tull born?", item).text == "She was born in Osta."


def test_chinese_is_read() -> None:
    item = "马拉的家乡是奥斯塔。贝拉有一条名叫海星的船。"
    assert read("马拉的家乡是哪里？", item) == Answer("马拉的家乡是奥斯塔。", ((0, 0),))


# Which of two conflicting sentences is right


def test_the_largest_serial_number_wins() -> None:
    old, new = "3. The capital of Nor is Osta.", "12. The capital of Nor is Rewe."
    for items in ((old, new), (new, old), (f"{old}\n{new}",), (f"{new}\n{old}",)):
        assert read("What is the capital of Nor?", *items).text == new


def test_a_larger_number_of_another_fact_does_not_win() -> None:
    facts = "3. The capital of Nor is Osta.\n40. The capital of Sud is Rewe."
    assert read("What is the capital of Nor?", facts).used == ((0, 0),)


@pytest.mark.parametrize(
    "old, new",
    [
        ("Mara lives in Osta (2024-01-09).", "Mara lives in Rewe (2024-02-03)."),
        ("[2024-01-09 08:00] Mara lives in Osta.", "[2024-01-09 09:30] Mara lives in Rewe."),
        (
            "Date: 2023-12-31.\nMara lives in Osta. It rained.",
            "Date: 2024-01-01.\nMara lives in Rewe.",
        ),
    ],
)
def test_the_latest_date_wins_also_from_the_first_line(old: str, new: str) -> None:
    for items in ((old, new), (new, old)):
        assert "Rewe" in read("Where does Mara live?", *items).text


def test_without_number_or_date_a_hash_decides_so_superseded_facts_cost() -> None:
    kept = 0
    for i in range(200):
        old, new = f"The code of gate {i} is {i}7.", f"The code of gate {i} is {i}9."
        question = f"What is the code of gate {i}?"
        answers = {
            read(question, *items).text for items in ((old, new), (new, old), (new + " " + old,))
        }
        assert len(answers) == 1
        kept += answers == {new}
    assert 70 < kept < 130


def test_an_undated_rival_is_not_superseded() -> None:
    dated = ["The code of the gate is 17 (2024-01-01).", "The code of the gate is 19 (2024-01-02)."]
    found = {
        read(f"What is the code of the gate{'?' * n}", *dated, "The code of the gate is 23.").text
        for n in range(1, 40)
    }
    assert found == {dated[1], "The code of the gate is 23."}


# How long an answer may be

LONG = (
    "Before the war the mill, which had been built by monks from the north and which burned down "
    "twice, belonged to the Tull family, who sold it for ninety crowns to Ion Ral in the spring of "
    "1873, after which it stood empty for a generation and was finally turned into a school."
)


def test_a_long_sentence_is_cut_to_the_stretch_that_answers() -> None:
    assert approx_tokens(LONG) > 60
    answer = read("Who bought the mill from the Tull family?", LONG, answer_tokens=30)
    assert "Ion Ral" in answer.text
    assert answer.text in LONG
    assert "1873" in read("In what year was it sold to Ion Ral?", LONG, answer_tokens=24).text
    assert answer.used == ((0, 0),)


texts = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(
            ["cat", "dog.", "Osta", "12.", "label:", "x→y", "東京。", "a" * 90, "\n", "?"]
        ),
        max_size=60,
    ).map(" ".join),
    st.lists(st.sampled_from("東京大学は猫。"), max_size=200).map("".join),
)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["fact", "multi_hop", "label", "summary", "choice"]),
    texts,
    st.lists(texts, max_size=4),
    st.integers(1, 60),
    texts,
)
def test_any_answer_fits_cites_what_is_there_and_is_repeatable(
    task: Task, question: str, items: list[str], limit: int, core: str
) -> None:
    request = ReadRequest(
        question, tuple(items), task=task, choices=("cat", question), answer_tokens=limit, core=core
    )
    first, second = READER.answer([request, request])
    assert first == second == LocalReader().answer([request])[0]
    assert approx_tokens(first.text) <= limit or not first.text
    assert not first.failed
    shown = [*items, core]
    for item, sentence in first.used:
        assert sentence is not None
        assert split_sentences(shown[item])[sentence]
    assert bool(first.used) or not first.text


@pytest.mark.parametrize("task", ["fact", "multi_hop", "label", "summary", "choice"])
def test_nothing_shown_nothing_answered(task: Task) -> None:
    assert read("Where does Mara live?", task=task, choices=("Osta",)) == Answer("")


def test_trim_keeps_whole_words_where_there_are_any() -> None:
    assert trim("one two three four", 3) == "one two"
    assert trim("東" * 10, 4) == "東" * 4
    assert trim("word", 0) == ""


# The other tasks


def test_multi_hop_goes_on_from_what_the_first_sentence_names() -> None:
    items = (
        "The anthem of Nor was written by Ion Ral.",
        "Ion Ral was born in Rewe.",
        "The anthem of Sud is old.",
        "Bela Tull was born in Osta.",
    )
    answer = read("Where was the writer of the anthem of Nor born?", *items, task="multi_hop")
    assert set(answer.used) == {(0, 0), (1, 0)}
    assert "Rewe" in answer.text
    assert "Osta" not in answer.text


def test_multi_hop_follows_the_newest_fact() -> None:
    items = (
        "1. The anthem of Nor was written by Ion Ral.\n2. Ion Ral was born in Rewe.",
        "7. The anthem of Nor was written by Bela Tull.\n8. Bela Tull was born in Osta.",
    )
    answer = read("Where was the writer of the anthem of Nor born?", *items, task="multi_hop")
    assert answer.used == ((1, 0), (1, 1))


def test_labels_are_voted_by_the_most_similar_lines() -> None:
    items = (
        "my card was stolen label: lost_card\nI cannot find my card -> lost_card",
        "when will my card arrive label: arrival\nthe weather is nice",
        "what is the exchange rate => rate",
    )
    answer = read("someone stole the card, it is lost, I cannot find it", *items, task="label")
    assert answer == Answer("lost_card", ((0, 1), (0, 0)))
    assert read("which exchange rates do you use", *items, task="label").text == "rate"
    assert read("zzz", *items, task="label") == Answer("")


def test_a_copied_example_has_one_vote() -> None:
    lines = ["red fox label: a", "red dog label: b", "red dog runs label: b"]
    alone = read("red dog", "\n".join(lines), task="label")
    copied = read("red dog", *lines, *["x\n" + lines[0]] * 3, task="label")
    assert alone.text == copied.text == "b"


def test_labels_without_examples_are_read_as_facts() -> None:
    answer = read("my card is lost", "A lost card is number 4.", task="label")
    assert answer.text == "A lost card is number 4."


def test_a_summary_is_the_text_as_far_as_it_may_go() -> None:
    items = ("Mara left Osta. She sailed north.", "The ship sank.")
    answer = read("Summarise.", *items, task="summary", answer_tokens=8)
    assert answer == Answer("Mara left Osta. She sailed", ((0, 0), (0, 1)))
    whole = read("Summarise.", *items, task="summary", answer_tokens=90)
    assert whole == Answer(
        "Mara left Osta. She sailed north. The ship sank.", ((0, 0), (0, 1), (1, 0))
    )


def test_the_choice_with_the_best_support_is_taken() -> None:
    items = ("Mara sailed to Rewe. Bela stayed in Osta.",)
    choices = ("Osta", "Rewe", "Nor")
    asked = "Where did Mara sail?"
    assert read(asked, *items, task="choice", choices=choices) == Answer("Rewe", ((0, 0),))
    assert read("Who slept?", "It rained.", task="choice", choices=choices).text == ""


def test_the_core_is_read_as_one_more_item() -> None:
    assert read("Where does Mara live?", "It rained.", core="Mara lives in Osta.").used == ((1, 0),)


def test_it_is_a_reader_by_name() -> None:
    reader = make_reader({"name": "local"})
    assert isinstance(reader, Reader)
    assert reader.version == "local/2"
    assert "local" in READERS
    with pytest.raises(ConfigError, match=r"unknown reader 'locl'. Did you mean 'local'\?"):
        make_reader({"name": "locl"})
    with pytest.raises(ConfigError, match="reader 'local' has no options"):
        make_reader({"name": "local", "model": "x"})


def test_answers_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from finemem_env.readers import LocalReader\n"
        "from finemem_env.types import ReadRequest\n"
        f"items = ({LONG!r}, 'red fox label: a', 'red dog label: b')\n"
        "tasks = ('fact', 'multi_hop', 'label', 'summary', 'choice')\n"
        "questions = ('Who bought the mill?', 'the red one', 'what stood empty in spring?')\n"
        "print(LocalReader().answer([ReadRequest(q, items, task=t, choices=('fox', 'dog'))"
        " for q in questions for t in tasks]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


# On real data


def paragraphs(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def twenty_lines(text: str) -> list[str]:
    lines = paragraphs(text)
    return ["\n".join(lines[i : i + 20]) for i in range(0, len(lines), 20)]


@cache
def stored(
    data: Path, source: str, pieces: Callable[[str], list[str]], episodes: int, top_k: int = 5
) -> float:
    """Mean score over the final questions when `pieces` of every chunk are stored as items."""
    scores = []
    loaded = load_source(source, SourceConfig(split="test", data_dir=data))
    for index in range(episodes):
        episode = loaded.episode(index)
        items = list(
            dict.fromkeys(piece for chunk in episode.chunks for piece in pieces(chunk.text))
        )
        memory = BM25("lucene")
        memory.update((), list(enumerate(items)))
        for question in episode.questions:
            shown = tuple(items[i] for i in memory.search(question.question, top_k))
            answer = read(question.question, *shown, task=question.type)
            scores.append(score(answer.text, question))
    return sum(scores) / len(scores)


def test_squad_with_paragraphs_stored(data_dir: Path) -> None:
    assert stored(data_dir, "squad", paragraphs, 2) >= 0.72


@pytest.mark.parametrize("stops", [".", ".,;", ".!?;:,"])
def test_deleting_full_stops_gains_next_to_nothing_on_squad(data_dir: Path, stops: str) -> None:
    deleted = str.maketrans("", "", stops)
    kept = stored(data_dir, "squad", paragraphs, 2)
    gain = stored(data_dir, "squad", lambda text: paragraphs(text.translate(deleted)), 2) - kept
    assert gain <= 0.03


def test_banking77_with_ten_labels(data_dir: Path) -> None:
    assert stored(data_dir, "banking77", twenty_lines, 4) >= 0.80


def test_numbered_facts_that_conflict(data_dir: Path) -> None:
    assert stored(data_dir, "factconsolidation_sh", paragraphs, 1) >= 0.85


def test_a_memory_that_names_the_subject_nowhere_answers_nothing() -> None:
    table = "home town Tasdel Nalpis Piplip"
    assert read("What is the home town of Mara Velmor?", table).text == ""
    assert read("What is the home town of Mara Velmor?", table, "Mara sang.").text == table
    assert read("Where is the home town?", table).text == table


@pytest.mark.parametrize("shape", ["NFC", "NFD"])
def test_a_subject_is_the_same_in_every_normal_form(shape: Literal["NFC", "NFD"]) -> None:
    question, text = "Was eröffnete Özil später?", "Dort eröffnete Özil einen Gasthof."
    assert read(unicodedata.normalize(shape, question), text).text == text
    assert read(question, unicodedata.normalize(shape, text)).text == text
    assert (
        read(unicodedata.normalize(shape, question), "Später eröffnete wer einen Gasthof.").text
        == ""
    )


@pytest.mark.parametrize(
    "question, told, other",
    [
        ("阿简·曼卡罗的马叫做什么？", "阿简·曼卡罗的马叫做兰顿伊。", "的马叫做兰顿伊。"),
        (
            "ジョン・スミスはどこに住んでいますか？",
            "ジョン・スミスは京都に住む。",
            "京都に住んでいますか。",
        ),
        ("मीना का घोड़ा कहाँ रहता है?", "मीना का घोड़ा ओस्ता में रहता है।", "आज बहुत बारिश हुई।"),
        ("what did the miller mend?", "The miller mended the net.", "Fog lay on a road."),
    ],
)
def test_a_subject_is_known_without_capitals(question: str, told: str, other: str) -> None:
    assert read(question, told).text == told
    assert read(question, other).text == ""


@pytest.mark.parametrize("task", ["fact", "multi_hop"])
def test_yes_or_no_is_said_only_where_a_text_says_the_whole_question(task: Task) -> None:
    question = "Were Ion Ral and Mara Velmor of the same nationality?"
    assert read(question, f"{question[:-1]} → yes", task=task).text == "yes"
    assert read(question, "Are Were both of the same or yes no", task=task).text == ""
    assert read(question, "Ion Ral was a baker yes", "Mara Velmor sang yes", task=task).text == ""
    assert "baker" in read(question, "Ion Ral was a baker.", task=task).text
    either = "Was Ion Ral or Mara Velmor the baker?"
    assert "baker" in read(either, "Ion Ral was a baker, no doubt.", task=task).text


@pytest.mark.parametrize(
    "question",
    [
        "Is the gate of Osta open? Answer yes or no.",
        "True or false: the gate of Osta is open.",
        "Isn't the gate of Osta open?",
        "Won’t the gate of Osta be open?",
    ],
)
def test_yes_or_no_answers_questions_that_ask_for_it(question: str) -> None:
    assert read(question, "Osta has a gate yes").text == ""
    assert read(question, "The gate of Osta is green.").text == "The gate of Osta is green."
    assert read("Mara won what in Osta?", "In Osta Mara won, yes.").text == "In Osta Mara won, yes."


@pytest.mark.parametrize("shape", ["NFC", "NFD"])
def test_a_name_with_marks_of_its_own_is_a_subject(shape: Literal["NFC", "NFD"]) -> None:
    told = unicodedata.normalize("NFC", "Orúkọ ológbò Ìọ́nù ni Kẹ́lì.")
    question = unicodedata.normalize(shape, "Kí ni orúkọ ológbò Ìọ́nù?")
    assert read(question, unicodedata.normalize(shape, told)).text == told


def test_a_number_belongs_to_the_text_without_spaces_before_it() -> None:
    told = "แมวของไอออนชื่อเคล โดวาเกิดเมื่อปี 1974"
    assert "1974" in read("โดวาเกิดเมื่อไหร่", told).text


def test_the_largest_serial_number_holds_in_any_script() -> None:
    listed = "马拉的家乡是奥斯塔。", "马拉的家乡是雷韦。"
    for old, new in (listed, listed[::-1]):
        told = read("马拉的家乡是哪里？", f"3、{old}", f"12、{new}").text
        assert told == f"12、{new}"


def test_a_list_of_all_words_says_no_question() -> None:
    names = "Ion Ral Mara Velmor Bela Tull Ada Nor Osta Rewe Lin Dor Kim Vey"
    listed = f"Were Are both of the same country nationality genre {names} yes"
    assert read("Were Ion Ral and Mara Velmor of the same nationality?", listed).text == ""


def test_a_name_or_number_is_answered_with_a_span() -> None:
    tail = " ".join(f"and then w{i}" for i in range(20))
    for question in ("Who sold Osta?", "When was Osta sold?", "How many mills did Osta have?"):
        text = f"In 1873 Ion Ral sold Osta with its 12 mills {tail}."
        assert approx_tokens(read(question, text, answer_tokens=90).text) <= 24
    assert approx_tokens(read("What of Osta?", text, answer_tokens=90).text) > 24


def test_a_sentence_too_long_to_be_an_answer_is_quoted_in_part() -> None:
    words = " ".join(f"w{i}" for i in range(60))
    text = read("Where is the gate of Osta?", f"The gate of Osta is {words}.").text
    assert approx_tokens(text) <= 34

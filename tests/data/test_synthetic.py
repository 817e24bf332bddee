"""The generators: what is asked, what is not, and who should win on it."""

import hashlib
import math
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.source import SourceConfig
from finemem_env.data.synthetic.base import SyntheticSource
from finemem_env.data.synthetic.kinds import (
    ASKED_PATTERNS,
    TALLY_PATTERNS,
    fact_key,
    is_asked_kind,
    is_tally,
    merge,
)
from finemem_env.data.synthetic.words import ALPHABETS, Draw, Namer
from finemem_env.data.validation import validate
from finemem_env.errors import ConfigError
from finemem_env.retrieval import BM25
from finemem_env.scoring import score
from finemem_env.text import (
    approx_tokens,
    normalise,
    parse_example,
    split_sentences,
    tie_key,
    words,
)
from finemem_env.types import Competency, Episode, Question

COMPETENCIES: tuple[Competency, ...] = ("AR", "TTL", "LRU", "CR")
LANGUAGES = ("en", "zh", "mixed")


def source(
    competency: Competency,
    *,
    split: str = "train",
    num_chunks: int | None = None,
    chunk_tokens: int | tuple[int, int] | None = None,
    **difficulty: object,
) -> SyntheticSource:
    config = SourceConfig(
        split=split, num_chunks=num_chunks, chunk_tokens=chunk_tokens, difficulty=difficulty
    )
    found = load_source("synthetic", config, competency)
    assert isinstance(found, SyntheticSource)
    return found


def sentences(episode: Episode) -> list[tuple[int, str]]:
    return [
        (t, text) for t, chunk in enumerate(episode.chunks) for text in split_sentences(chunk.text)
    ]


def chunk_questions(episode: Episode) -> list[tuple[int, Question]]:
    return [(t, question) for t, chunk in enumerate(episode.chunks) for question in chunk.questions]


def all_questions(episode: Episode) -> list[Question]:
    return [*episode.questions, *(question for _, question in chunk_questions(episode))]


# Structure


@pytest.mark.parametrize("competency", COMPETENCIES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_episode_is_valid_and_of_the_documented_size(
    competency: Competency, language: str
) -> None:
    episode = source(competency, language=language).episode(7)
    validate(episode)
    assert episode.competency == competency
    assert len(episode.chunks) == 10
    assert 15 <= len(episode.questions) <= 20
    assert sum(len(chunk.questions) for chunk in episode.chunks) >= 50
    for chunk in episode.chunks:
        assert 9 <= len(split_sentences(chunk.text)) <= 15
        assert 100 <= approx_tokens(chunk.text) <= (180 if language == "en" else 260)
    dates = [chunk.time or "" for chunk in episode.chunks]
    assert dates == sorted(set(dates))
    assert all(date in chunk.text for date, chunk in zip(dates, episode.chunks, strict=True))


@pytest.mark.parametrize("competency", COMPETENCIES)
def test_every_length_and_chunk_size_works(competency: Competency) -> None:
    for num_chunks in (1, 2, 40):
        episode = source(competency, num_chunks=num_chunks).episode(0)
        validate(episode)
        assert len(episode.chunks) == num_chunks
        # Half the defaults' questions a chunk at least, and a chunk question pool everywhere.
        assert len(episode.questions) >= max(1, num_chunks)
    for size in (20, 300, 1000):
        episode = source(competency, chunk_tokens=size).episode(0)
        validate(episode)
        mean = np.mean([approx_tokens(chunk.text) for chunk in episode.chunks])
        assert size == 20 or abs(mean / size - 1) < 0.1
    sizes = [
        approx_tokens(chunk.text)
        for chunk in source(competency, chunk_tokens=(200, 900)).episode(0).chunks
    ]
    assert 180 <= min(sizes) < max(sizes) <= 950
    assert max(sizes) - min(sizes) > 250


@pytest.mark.parametrize("competency", COMPETENCIES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_evidence_is_a_sentence_and_holds_the_gold(competency: Competency, language: str) -> None:
    for index in range(5):
        episode = source(competency, language=language).episode(index)
        written = set(sentences(episode))
        for question in all_questions(episode):
            assert question.evidence
            spots = [(item.chunk, item.sentence or "") for item in question.evidence]
            assert written.issuperset(spots)
            holding = [score(sentence, question) == 1 for _, sentence in spots]
            if question.type == "label":
                golds = [(parse_example(sentence) or ("", ""))[1] for _, sentence in spots]
                assert set(golds) == set(question.answers)
            elif is_tally(merge(None, spots[0][1])):
                assert not any(holding)
            else:
                assert holding == [True]


def test_only_sums_need_more_than_one_sentence() -> None:
    for competency in ("AR", "CR"):
        for question in all_questions(source(competency).episode(1)):
            assert len(question.evidence) == 1


@pytest.mark.parametrize("competency", COMPETENCIES)
@pytest.mark.parametrize("misaligned", [False, True])
def test_finals_and_chunk_questions_are_disjoint(competency: Competency, misaligned: bool) -> None:
    for index in range(10):
        episode = source(competency, misaligned_chunk_questions=misaligned).episode(index)
        finals = [normalise(question.question) for question in episode.questions]
        assert len(set(finals)) == len(finals)
        assert not set(finals) & {normalise(q.question) for _, q in chunk_questions(episode)}


# Determinism and names


def digest(competency: Competency) -> str:
    found = source(competency, language="mixed", split="val")
    text = repr([found.episode(index) for index in (0, 12345)])
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def digests_elsewhere(hash_seed: str) -> dict[str, str]:
    """What `digest` gives in another process, by competency."""
    code = (
        "import hashlib;from finemem_env.data.registry import load_source;"
        "from finemem_env.data.source import SourceConfig;"
        "c=SourceConfig(split='val',difficulty={'language':'mixed'})\n"
        f"for competency in {COMPETENCIES}:\n"
        " s=load_source('synthetic',c,competency);"
        "d=hashlib.sha256(repr([s.episode(0),s.episode(12345)]).encode()).hexdigest();"
        "print(competency,d)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ".", "PYTHONUTF8": "1"},
    )
    return dict(line.split() for line in run.stdout.splitlines())


@pytest.mark.parametrize("competency", COMPETENCIES)
def test_another_process_and_hash_seed_give_the_same_bytes(competency: Competency) -> None:
    for hash_seed in ("1", "77"):
        assert digests_elsewhere(hash_seed)[competency] == digest(competency)


def test_ids_lead_back_to_their_episode() -> None:
    found = source("AR", split="test")
    assert found.get("synthetic_ar/test/31") == found.episode(31)
    drawn = found.draw(np.random.default_rng(4))
    assert found.get(drawn.episode_id) == drawn
    with pytest.raises(ConfigError, match="unknown episode id"):
        found.get("synthetic_ar/train/31")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_fact_is_shared_between_episodes(language: str) -> None:
    seen: dict[str, str] = {}
    people: dict[str, str] = {}
    for competency in COMPETENCIES:
        for split in ("train", "val", "test"):
            found = source(competency, split=split, language=language)
            for index in range(8 if split == "train" else 4):
                episode = found.episode(index)
                for _, sentence in sentences(episode):
                    key = fact_key(sentence)
                    if key is None:
                        continue
                    assert seen.setdefault(sentence, episode.episode_id) == episode.episode_id
                    if " " in key[0] or "·" in key[0]:
                        owner = people.setdefault(key[0], episode.episode_id)
                        assert owner == episode.episode_id


@given(st.integers(0, 37_324_799), st.integers(0, 37_324_799), st.sampled_from(["en", "zh"]))
def test_a_full_name_belongs_to_one_episode_number(one: int, other: int, language: str) -> None:
    names = []
    for number in (one, other):
        # The same chance on both sides: only the number can tell the names apart.
        namer = Namer(Draw(np.random.default_rng(0)), number)
        names.append({namer.person(language) for _ in range(20)})
    assert one == other or not names[0] & names[1]
    assert all(len(group) == 20 for group in names)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_different_numbers_spell_different_words(language: str) -> None:
    alphabet = ALPHABETS[language]
    numbers = range(0, alphabet.count, 97)
    assert len({alphabet.spell(number) for number in numbers}) == len(numbers)


def test_names_run_on_when_a_class_is_used_up() -> None:
    namer = Namer(Draw(np.random.default_rng(0)), 3)
    assert len({namer.person("zh") for _ in range(1500)}) == 1500


def test_draw_is_uniform_and_a_sample_has_no_repetition() -> None:
    draw = Draw(np.random.default_rng(0))
    counts = Counter(draw.below(5) for _ in range(5000))
    assert set(counts) == set(range(5))
    assert all(abs(count - 1000) < 150 for count in counts.values())
    assert sorted(draw.sample(range(9), 9)) == list(range(9))
    assert len(set(draw.sample(range(9), 4))) == 4


# Kinds


@pytest.mark.parametrize("competency", COMPETENCIES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_asked_is_recognisable_by_kind(competency: Competency, language: str) -> None:
    """Precision and recall 1: a sentence is of an asked kind if and only if a question needs it."""
    for index in range(5):
        episode = source(competency, language=language, chunk_questions=200).episode(index)
        asked = {(e.chunk, e.sentence) for q in all_questions(episode) for e in q.evidence}
        for spot in sentences(episode):
            assert is_asked_kind(spot[1]) == (spot in asked), spot
            assert (fact_key(spot[1]) is not None) == is_asked_kind(spot[1])
            assert not is_tally(spot[1])


@pytest.mark.parametrize("competency", COMPETENCIES)
def test_a_third_of_the_text_is_asked(competency: Competency) -> None:
    for language in LANGUAGES:
        for index in range(5):
            episode = source(competency, language=language).episode(index)
            asked = {(e.chunk, e.sentence) for q in all_questions(episode) for e in q.evidence}
            assert 0.25 <= len(asked) / len(sentences(episode)) <= 0.45
            size = sum(approx_tokens(chunk.text) for chunk in episode.chunks)
            assert sum(approx_tokens(sentence or "") for _, sentence in asked) < 0.4 * size


@pytest.mark.parametrize(
    "sentence, key",
    [
        ("The locker code of Mara Velmor is QX417.", ("Mara Velmor", "locker")),
        ("Mara Velmor keeps the spare key in Tasin.", ("Mara Velmor", "key")),
        ("卡维·洛提娅的储物柜密码是QX417。", ("卡维·洛提娅", "locker")),
        ("Mara Velmor fed the goat at dawn.", ("Mara Velmor", "fed the goat")),
        ("Tally: Mara Velmor fed the goat 3 times.", ("Mara Velmor", "fed the goat")),
        ("清晨，卡维·洛提娅喂了山羊。", ("卡维·洛提娅", "喂了山羊")),
        ("Mara Velmor sailed to Tasin.", ("Mara Velmor", "route")),
        ("Route: Mara Velmor sailed to Tasin, Korbel.", ("Mara Velmor", "route")),
        ("Mara Velmor joined the red team of Korbel.", ("Korbel", "teams")),
        ("Teams of Korbel: red Mara Velmor.", ("Korbel", "teams")),
        ("tasin korbel dumat label: zekdal", ("tasin korbel dumat", "label")),
        ("Unverified: tasin korbel dumat label: zekdal", None),
        ("未核实：卡维洛 提娅卡 请 label: 卡卡卡", None),
        ("Rumour has it that the locker code of Mara Velmor is QX417.", None),
        ("The locker code of visitor Mara Velmor is QX417.", None),
        ("Visitor Mara Velmor keeps the spare key in Tasin.", None),
        ("访客卡维·洛提娅的储物柜密码是QX417。", None),
        ("Ilse Toran wondered aloud: what is the locker code of Mara Velmor?", None),
        ("Date: 2024-01-03.", None),
        ("", None),
    ],
)
def test_fact_key(sentence: str, key: tuple[str, str] | None) -> None:
    assert fact_key(sentence) == key
    assert is_asked_kind(sentence) == (key is not None and not is_tally(sentence))


def test_the_patterns_are_exported() -> None:
    assert any(p.fullmatch("The locker code of Mara Velmor is QX417.") for p in ASKED_PATTERNS)
    assert any(p.fullmatch("Tally: Mara Velmor fed the goat 3 times.") for p in TALLY_PATTERNS)


def fold(texts: list[str]) -> str:
    stored: str | None = None
    for text in texts:
        stored = merge(stored, text)
    assert stored is not None
    return stored


def test_merge_writes_the_canonical_tallies() -> None:
    fed = ["Mara Velmor fed the goat.", "Mara Velmor fed the goat at dusk."]
    assert fold(fed[:1]) == "Tally: Mara Velmor fed the goat 1 time."
    assert fold(fed) == "Tally: Mara Velmor fed the goat 2 times."
    assert merge(fed[0], fed[1]) == fold(fed), "a raw event counts as its own tally"
    ports = ["Mara Velmor sailed to Tasin.", "Mara Velmor sailed to Korbel in a hurry."]
    assert fold(ports) == "Route: Mara Velmor sailed to Tasin, Korbel."
    joins = [
        f"{person} joined the {team} team of Korbel."
        for person, team in [
            ("Mara Velmor", "red"),
            ("Ilse Toran", "red"),
            ("Dova Rintak", "blue"),
            ("Mara Velmor", "blue"),
            ("Dova Rintak", "red"),
        ]
    ]
    final = "Teams of Korbel: red Ilse Toran; both Mara Velmor and Dova Rintak."
    assert fold(joins) == final
    assert merge(final, joins[-1]) == final, "joining twice changes nothing"
    assert merge(final, "Mara Velmor fed the goat.") == "Tally: Mara Velmor fed the goat 1 time."
    old, new = (
        "The locker code of Mara Velmor is QX417.",
        "The locker code of Mara Velmor is BD035.",
    )
    assert merge(old, new) == new


@pytest.mark.parametrize("language", LANGUAGES)
def test_tallies_answer_every_sum(language: str) -> None:
    for index in range(10):
        episode = source("LRU", language=language).episode(index)
        for question in all_questions(episode):
            texts = [item.sentence or "" for item in question.evidence]
            assert score(fold(texts), question) == 1
            if len(texts) > 1:
                assert is_tally(fold(texts))
                assert approx_tokens(fold(texts)) <= 40
                assert all(score(text, question) == 0 for _, text in sentences(episode))


# Competencies


def test_facts_of_the_first_half_are_asked_at_the_end() -> None:
    early = [
        sum(q.evidence[0].chunk < 5 for q in source("AR", delay=delay).episode(2).questions)
        for delay in (0.0, 0.6, 1.0)
    ]
    assert early == [0, 12, 20]


def test_midway_questions_come_after_their_fact_and_before_the_end() -> None:
    episode = source("AR", midway=0.5).episode(0)
    midway = [q for q in episode.questions if q.asked_after is not None]
    assert 8 <= len(midway) <= 10
    for question in midway:
        assert question.evidence[0].chunk <= (question.asked_after or 0) < 9
    assert all(q.asked_after is None for q in source("AR").episode(0).questions)


def statements(episode: Episode) -> dict[tuple[str, str], list[tuple[int, str]]]:
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for t, sentence in sentences(episode):
        key = fact_key(sentence)
        if key is not None:
            found.setdefault(key, []).append((t, sentence))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_facts_are_overwritten_one_to_four_times(language: str) -> None:
    times: Counter[int] = Counter()
    for index in range(10):
        episode = source("CR", language=language).episode(index)
        versions = statements(episode)
        for states in versions.values():
            times[len(states) - 1] += 1
            chunks = [t for t, _ in states]
            assert len(set(chunks)) == len(chunks)
        for question in episode.questions:
            key = fact_key(question.evidence[0].sentence or "")
            assert key is not None
            assert score(versions[key][-1][1], question) == 1
            assert all(score(old, question) == 0 for _, old in versions[key][:-1])
        changed = [q for q in episode.questions if len(versions[_key(q)]) > 1]
        assert len(changed) == len(episode.questions) / 2
    assert set(times) == {0, 1, 2, 3, 4}


def _key(question: Question) -> tuple[str, str]:
    key = fact_key(question.evidence[0].sentence or "")
    assert key is not None
    return key


def test_overwrites_can_be_turned_off_and_up() -> None:
    assert all(len(s) == 1 for s in statements(source("CR", overwrites=0).episode(0)).values())
    once = statements(source("CR", overwrites=1).episode(0)).values()
    assert {len(states) for states in once} == {1, 2}
    all_changed = source("CR", changed=1.0).episode(0)
    assert all(len(statements(all_changed)[_key(q)]) > 1 for q in all_changed.questions)


@pytest.mark.parametrize("competency", ["AR", "LRU", "CR"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_valid_until_is_the_last_chunk_at_which_the_gold_holds(
    competency: Competency, language: str
) -> None:
    """Against a replay: what `merge` keeps stays what it is until `valid_until` and not longer."""
    for index in range(5):
        episode = source(competency, language=language).episode(index)
        memory: dict[tuple[str, str], str] = {}
        states = []
        for chunk in episode.chunks:
            for sentence in split_sentences(chunk.text):
                key = fact_key(sentence)
                if key is not None:
                    memory[key] = merge(memory.get(key), sentence)
            states.append(dict(memory))
        limited = 0
        for t, question in chunk_questions(episode):
            until = len(states) - 1 if question.valid_until is None else question.valid_until
            limited += question.valid_until is not None
            for step in range(t, len(states)):
                then, now = (states[i][_key(question)] for i in (t, step))
                assert score(then, question) == 1
                # A third member changes the tally of two teams, not who is in both.
                same = score(now, question) == 1 if _key(question)[1] == "teams" else now == then
                assert same == (step <= until)
        assert (limited > 0) == (competency != "AR")


def test_labels_are_arbitrary_and_told_by_their_words() -> None:
    episode = source("TTL").episode(3)
    examples = [parse_example(s) for _, s in sentences(episode) if is_asked_kind(s)]
    labels = {example[1] for example in examples if example}
    assert len(labels) == 10
    texts = {example[0] for example in examples if example}
    for question in all_questions(episode):
        assert question.type == "label"
        assert question.metric == "exact_match"
        assert question.answers[0] in labels
        assert question.question not in texts, "held out"
        shared = set(words(question.question))
        for item in question.evidence:
            assert len(shared & set(words(item.sentence or ""))) >= 2
    unverified = [s for _, s in sentences(episode) if s.startswith("Unverified:")]
    assert len(unverified) == 30
    assert len({e[1] for e in map(parse_example, unverified) if e} & labels) > 5


def test_labels_knob() -> None:
    for asked, expected in ((4, 4), (25, 25)):
        episode = source("TTL", labels=asked).episode(0)
        examples = [parse_example(s) for _, s in sentences(episode) if is_asked_kind(s)]
        assert len({example[1] for example in examples if example}) == expected
    for wrong in (1, 41):
        with pytest.raises(ConfigError, match="labels"):
            source("TTL", labels=wrong)


def test_sums_make_up_their_share() -> None:
    for share, expected in ((0.0, 0), (0.75, 11), (1.0, 15)):
        episode = source("LRU", aggregates=share).episode(1)
        assert sum(len(q.evidence) > 1 for q in episode.questions) == expected
    counts = [
        len(q.evidence)
        for index in range(10)
        for q in source("LRU").episode(index).questions
        if q.question.startswith("How many times")
    ]
    assert set(counts) == {2, 3, 4, 5}
    wide = source("LRU", repeats=9, questions=3).episode(0)
    assert len(wide.questions) == 3


# Knobs


@pytest.mark.parametrize("competency", COMPETENCIES)
def test_common_knobs(competency: Competency) -> None:
    few = source(competency, questions=3, chunk_questions=2).episode(0)
    assert len(few.questions) == 3
    assert all(len(chunk.questions) == 2 for chunk in few.chunks)
    bare = source(competency, asked_fraction=1.0, facts_per_chunk=6).episode(0)
    for chunk in bare.chunks:
        lines = split_sentences(chunk.text)[1:]
        assert len(lines) == 6
        assert all(map(is_asked_kind, lines))
    quiet = source(competency, distractors_per_chunk=0).episode(0)
    assert not any("Rumour" in text or "Unverified" in text for _, text in sentences(quiet))


@pytest.mark.parametrize("competency", COMPETENCIES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_misaligned_chunk_questions_ask_what_finals_never_ask(
    competency: Competency, language: str
) -> None:
    episode = source(competency, language=language, misaligned_chunk_questions=True).episode(0)
    plain = source(competency, language=language).episode(0)
    assert episode.questions == plain.questions
    assert [c.text for c in episode.chunks] == [c.text for c in plain.chunks]
    asked = chunk_questions(episode)
    assert len(asked) >= 50
    for _, question in asked:
        (item,) = question.evidence
        assert not is_asked_kind(item.sentence or "")
        assert score(item.sentence or "", question) == 1


@pytest.mark.parametrize("language, ascii_share", [("en", (1.0, 1.0)), ("zh", (0.0, 0.4))])
def test_language_knob(language: str, ascii_share: tuple[float, float]) -> None:
    text = "".join(chunk.text for chunk in source("AR", language=language).episode(0).chunks)
    assert ascii_share[0] <= sum(map(str.isascii, text)) / len(text) <= ascii_share[1]


def test_a_mixed_episode_has_both_languages_and_one_for_each_fact() -> None:
    episode = source("CR", language="mixed").episode(0)
    forms = {key: {s.isascii() for _, s in states} for key, states in statements(episode).items()}
    assert all(len(kinds) == 1 for kinds in forms.values())
    assert {kind for kinds in forms.values() for kind in kinds} == {True, False}


@pytest.mark.parametrize(
    "competency, knob, value, message",
    [
        ("AR", "question", 3, "Did you mean 'questions'"),
        ("AR", "overwrites", 3, "unknown difficulty knob"),
        ("AR", "questions", "3", "expected int"),
        ("AR", "questions", True, "expected int"),
        ("AR", "questions", -1, "from 0 to"),
        ("AR", "questions", 41, "at most 40"),
        ("CR", "questions", 21, "at most 20"),
        ("LRU", "questions", 16, "at most 15"),
        ("AR", "delay", 1.5, "from 0 to 1"),
        ("AR", "delay", float("nan"), "from 0 to 1"),
        ("AR", "facts_per_chunk", 0, "from 1 to"),
        ("AR", "asked_fraction", 0, "from 0.02"),
        ("AR", "language", "zhh", "Did you mean 'zh'"),
        ("AR", "misaligned_chunk_questions", 1, "expected bool"),
        ("LRU", "repeats", 10, "from 2 to 9"),
    ],
)
def test_knob_errors(competency: Competency, knob: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_source("synthetic", SourceConfig(difficulty={knob: value}), competency)


def test_every_knob_has_a_range_that_holds_its_default() -> None:
    from finemem_env.data.synthetic.knobs import RANGES, check_ranges

    for competency in COMPETENCIES:
        knobs = source(competency).knobs
        assert set(knobs) - {"misaligned_chunk_questions"} <= set(RANGES)
        check_ranges(competency, knobs)
        assert f"synthetic_{competency.lower()}" in SOURCES


# Orderings, with the simplest retriever and reader that can tell agents apart


def read(question: Question, items: list[str]) -> str:
    texts = [text for item in items for text in split_sentences(item)]
    if question.type == "label":
        return _vote(question, [e for e in map(parse_example, texts) if e])
    weights = _overlaps(question.question, texts)
    best = [text for text, weight in zip(texts, weights, strict=True) if weight == max(weights)]
    return min(best, key=lambda text: tie_key(question.question, text), default="")


def _overlaps(query: str, texts: list[str]) -> list[float]:
    wanted = _word_set(query)
    shared = [sorted(_word_set(text) & wanted) for text in texts]
    df = Counter(word for one in shared for word in one)
    idf = {word: math.log(1 + len(texts) / (0.5 + df[word])) for word in df}
    return [round(sum(idf[word] for word in one), 9) for one in shared]


@cache
def _word_set(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _vote(question: Question, examples: list[tuple[str, str]]) -> str:
    weights = _overlaps(question.question, [text for text, _ in examples])
    order = sorted(
        range(len(examples)),
        key=lambda i: (-weights[i], tie_key(question.question, examples[i][0])),
    )
    votes: dict[str, float] = {}
    for i in order[:5]:
        votes[examples[i][1]] = votes.get(examples[i][1], 0.0) + weights[i]
    return max(votes, key=lambda label: votes[label], default="")


def final_score(episode: Episode, memory: list[str], top_k: int = 5) -> float:
    memory = list(dict.fromkeys(memory))
    index = BM25()
    index.update([], list(enumerate(memory)))
    total = 0.0
    for question in episode.questions:
        items = [memory[i] for i in index.search(question.question, top_k)]
        total += score(read(question, items), question)
    return total / len(episode.questions)


def oracle(episode: Episode) -> list[str]:
    memory = []
    for question in episode.questions:
        texts = [item.sentence or "" for item in question.evidence]
        single = len(texts) == 1 or question.type == "label"
        memory += texts if single else [f"{question.question} → {question.answers[0]}"]
    return memory


def everything(episode: Episode) -> list[str]:
    return [text for _, text in sentences(episode)]


def selective(episode: Episode) -> list[str]:
    memory: dict[tuple[str, str], str] = {}
    for text in everything(episode):
        key = fact_key(text)
        if key is not None:
            memory[key] = merge(memory.get(key), text)
    return list(memory.values())


def newest(items: list[str], budget: float) -> list[str]:
    kept: list[str] = []
    for item in reversed(items):
        budget -= approx_tokens(item)
        if budget < 0:
            break
        kept.append(item)
    return kept[::-1]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("competency", COMPETENCIES)
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("num_chunks", [10, 40])
def test_orderings(competency: Competency, language: str, num_chunks: int) -> None:
    found = source(competency, language=language, num_chunks=num_chunks)
    episodes = [found.episode(index) for index in range(3 if num_chunks == 10 else 1)]
    budgets = [0.4 * sum(approx_tokens(c.text) for c in e.chunks) for e in episodes]
    best = mean([final_score(e, oracle(e)) for e in episodes])
    managed = mean(
        [
            final_score(e, newest(selective(e), budget))
            for e, budget in zip(episodes, budgets, strict=True)
        ]
    )
    for items in (everything, lambda e: [chunk.text for chunk in e.chunks]):
        stored = mean([final_score(e, items(e)) for e in episodes])
        fifo = mean(
            [final_score(e, newest(items(e), b)) for e, b in zip(episodes, budgets, strict=True)]
        )
        assert best > stored + 0.03
        assert stored > 0.05
        assert managed > fifo + 0.3
    assert best > 0.94
    assert managed > 0.9
    assert mean([final_score(e, []) for e in episodes]) == 0


@pytest.mark.parametrize("top_k", [2, 5])
@pytest.mark.parametrize("language", LANGUAGES)
def test_updating_beats_appending(top_k: int, language: str) -> None:
    episodes = [source("CR", language=language).episode(index) for index in range(6)]
    updated = mean([final_score(e, selective(e), top_k) for e in episodes])
    appended = mean(
        [
            final_score(e, [text for text in everything(e) if is_asked_kind(text)], top_k)
            for e in episodes
        ]
    )
    assert updated > appended + 0.15

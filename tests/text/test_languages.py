"""Words, sentences, retrieval and the local reader in fourteen languages."""

from __future__ import annotations

import re
import unicodedata
from statistics import mean
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finemem_env.readers import LocalReader
from finemem_env.readers.lexicon import asks
from finemem_env.retrieval import BM25
from finemem_env.scoring import score
from finemem_env.scoring.matching import equal, form
from finemem_env.text import normalise, parse_example, split_sentences, words
from finemem_env.text.search_terms import search_terms
from finemem_env.text.unicode_tables import IGNORED
from finemem_env.types import Question, ReadRequest
from tests.text.paragraphs import LANGUAGES, PARAGRAPHS


def _asked(language: str, shape: Literal["NFC", "NFD"] = "NFC") -> list[tuple[str, str, str]]:
    """(paragraph, question, gold) in a Unicode normal form."""
    return [
        (
            unicodedata.normalize(shape, paragraph.text),
            unicodedata.normalize(shape, question),
            unicodedata.normalize(shape, gold),
        )
        for paragraph in PARAGRAPHS
        if paragraph.language == language
        for question, gold in paragraph.questions
    ]


def _read(asked: list[tuple[str, str, str]]) -> float:
    """Mean score of the local reader that is shown the right paragraph."""
    requests = [ReadRequest(question=question, items=(text,)) for text, question, _ in asked]
    answers = LocalReader().answer(requests)
    return mean(
        score(answer.text, Question("q", question, (gold,), metric="substring_exact_match"))
        for answer, (_, question, gold) in zip(answers, asked, strict=True)
    )


def _found(language: str) -> float:
    """Share of questions whose sentence BM25 ranks in the first three of its paragraphs."""
    hits = []
    for text, question, gold in _asked(language):
        index = BM25("lucene")
        sentences = split_sentences(text)
        index.update((), list(enumerate(sentences)))
        best = index.search(question, 3)
        hits.append(any(contains(sentences[i], gold) for i in best))
    return mean(hits)


def contains(sentence: str, gold: str) -> bool:
    return unicodedata.normalize("NFC", gold) in unicodedata.normalize("NFC", sentence)


def test_there_are_fourteen_languages_with_as_many_questions() -> None:
    assert len(LANGUAGES) == 14
    assert len({len(_asked(language)) for language in LANGUAGES}) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_end_cuts_a_gold(language: str) -> None:
    for text, _, gold in _asked(language):
        assert any(contains(sentence, gold) for sentence in split_sentences(text)), gold


# Thai ends sentences with a space, as it ends phrases: its paragraphs are not cut.
@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "th"])
def test_sentences_end_where_the_paragraph_says(language: str) -> None:
    for paragraph in PARAGRAPHS:
        if paragraph.language == language:
            assert tuple(split_sentences(paragraph.text)) == paragraph.sentences


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_reader_and_search_come_near_english(language: str) -> None:
    assert _read(_asked(language)) >= _read(_asked("en")) - 0.25
    assert _found(language) >= _found("en") - 0.25


@pytest.mark.parametrize("language", LANGUAGES)
def test_normal_forms_of_unicode_make_no_difference(language: str) -> None:
    assert _read(_asked(language, "NFD")) == _read(_asked(language, "NFC"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("मेल", "माल"), ("दिन", "दान"), ("มา", "มี"), ("ครู", "ครี"), ("காலை", "கோலை")],
)
def test_words_that_differ_by_a_vowel_sign_differ(one: str, other: str) -> None:
    assert not equal(form(one), form(other))
    assert words(one) != words(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी", ["हिन्दी"]),
        ("İstanbul", ["istanbul"]),
        ("Ko\u0308ln", ["köln"]),
        ("The\U000e0100 key", ["the", "key"]),
        ("น้ำ", ["น้", "ำ"]),  # one token a letter; NFKC would take the vowel apart
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(max_size=80))
def test_normalising_is_stable_and_blind_to_the_normal_form(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(
        unicodedata.normalize("NFC", text)
    )


def test_what_is_ignorable_is_what_unicode_says() -> None:
    regex = pytest.importorskip("regex", reason="comes with the environment `tests`")
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    assigned = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    ours = re.compile(f"[{IGNORED}]")
    by_table = {letter for letter in assigned if ours.match(letter)}
    by_regex = {letter for letter in assigned if ignorable.match(letter)}
    assert by_regex - by_table == set()


@pytest.mark.parametrize(
    "sentences",
    [
        ("मारा ओस्टा में रहती है.", "उसके पास बिल्ली है.", "मैं खुश हूँ.", "ठीक."),
        ("ए. पी. जे. अब्दुल कलाम आए.", "वह गए."),
        ("મારા ઓસ્ટામાં રહે છે.", "તેની પાસે બિલાડી છે.", "હું ત્યાં છું.", "ના."),
        ("මාරා ඔස්ටා හි ජීවත් වේ.", "ඇයට පූසෙක් ඇත.", "ඒ ඇය ය.", "හොඳයි."),
        ("மாரா வா.", "அவள் போ.", "நீ யார்."),
    ],
)
def test_full_stops_end_sentences_of_india_behind_short_verbs(sentences: tuple[str, ...]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    ("prediction", "gold"),
    [
        ("تَسْكُنُ في أُوسْتَا", "أوستا"),
        ("اوستا", "أوستا"),
        ("אוסטה", "אוֹסְטָה"),
        ("في عام ٢٠٢٠", "2020"),
        ("सन् २०२० में", "2020"),
        ("ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"),
        ("IĞDIR", "Iğdır"),
        ("Артем", "Артём"),
        ("ايران", "ایران"),
        ("Որտե՞ղ է Օ՛ստան", "Օստան"),
        ("п'ять", "пʼять"),
        ("O‘zbekiston", "Oʻzbekiston"),
        ("Hawai'i", "Hawaiʻi"),
        ("ג'ון", "ג׳ון"),
        ("București", "Bucureşti"),
        ("Росси́я", "Россия"),
        ("Hoà Bình", "Hòa Bình"),
        ("हिन्दी", "हिंदी"),
        ("सम्बन्ध", "संबंध"),
        ("फरवरी", "फ़रवरी"),
        ("कहां", "कहाँ"),
        ("હિન્દી", "હિંદી"),
        ("അവന്\u200d", "അവൻ"),
        ("เเม่", "แม่"),
        ("ἀρχή", "αρχη"),
        ("ΤΑΪΖΩ", "ταΐζω"),
        ("ዓለም", "አለም"),
        ("ہندوستان", "هندوستان"),
        ("cœur", "coeur"),
        ("臺灣", "台灣"),
        ("൧൭", "17"),
        ("១៧", "17"),
        ("၁၇", "17"),
        ("1974లో జన్మించాడు", "1974"),
        ("१९७४में", "1974"),
        ("سنة 1974م", "1974"),
        ("ב1974", "1974"),
        ("በ1974", "1974"),
    ],
)
def test_spellings_that_are_exchanged_answer_alike(prediction: str, gold: str) -> None:
    assert score(prediction, Question("q", "?", (gold,), "substring_exact_match")) == 1.0
    assert score(gold, Question("q", "?", (gold,), excluded=(prediction,))) == 1.0
    other = Question("q", "?", ("Mara",), excluded=(gold,))
    assert score(f"Mara {prediction}", other) == 0.0
    assert set(search_terms(gold)) <= set(search_terms(prediction))


@pytest.mark.parametrize(
    ("one", "other"),
    [("पेन", "पेंन"), ("अन्न", "अंन"), ("đo", "do"), ("año", "ano"), ("hoàn", "hòan"), ("ñ", "n")],
)
def test_other_spellings_are_other_words(one: str, other: str) -> None:
    assert not equal(form(one), form(other))


@pytest.mark.parametrize(
    "sentences",
    [
        ("ᱢᱟᱨᱟ ᱚᱥᱛᱟ ᱨᱮ ᱛᱟᱦᱮᱸᱱᱟ᱾", "ᱩᱱᱤ ᱯᱩᱥᱤ ᱢᱮᱱᱟᱭᱟ᱾"),
        ("ꯃꯥꯔꯥ ꯑꯣꯁꯇꯥꯗ ꯂꯩ꯫", "ꯃꯍꯥꯛ ꯍꯧꯗꯣꯡ ꯂꯩ꯫"),
        ("ᒫᕋ ᐅᔅᑕᒥ᙮", "ᐃᓄᒃ ᐅᖃᓕᒪᐅᓯᖅ᙮"),
        ("ማራ በኦስታ ትኖራለች፡፡", "ድመት አላት፡፡"),
        ("Մարան ապրում է Օստայում:", "Նա կատու ունի:"),
        ("Il a dit : « Je viens. »", "Elle part."),
        ("Han sagde: »Jeg kommer.«", "Hun gik."),
        ("Er sagte: ‚Ich komme.‘", "Sie ging."),
        ("Hvem er Mara‽", "Ingen ved det."),
        ("To je gosp. Horvat, br. 5, npr. Zagreb, tj. Gradec.", "Vratio se."),
        ("То је нпр. Београд, тј. престоница, бр. 5.", "Вратио се."),
        ("Живее на бул. Левски, гр. София, инж. Петров.", "Замина."),
        ("Dl. Popescu locuiește pe str. Lungă, jud. Brașov, cu dna. Ana.", "A plecat."),
        ("Jis gyvena pvz. Vilniuje, šv. Jono.", "Išvyko."),
        ("Viu a l'av. Gran, núm. 5, St. Cugat.", "Va marxar."),
        ("Mnr. Botha en mev. Nel woon bv. Kaapstad.", "Hy het gegaan."),
        ("Ir. Soekarno tinggal di Jl. Merdeka, Kec. Gambir, Kab. Bogor.", "Dia pergi."),
        ("Il sig. Rossi e l'ing. Bianchi vivono a Roma.", "Partì."),
        ("Жил в г. Москва, ул. Садовая, кв. 7, оз. Байкал.", "Уехал."),
        ("Жив у м. Київ, вул. Садова, буд. 5, ім. Шевченка.", "Поїхав."),
        ("Er wohnt d.h. Berlin, d.w.z. Mitte.", "Er ging am 8. Dez. 2007 fort."),
        ("எம். ஜி. ராமச்சந்திரன் வந்தார்.", "அவர் சென்றார்."),
        ("ఎన్. టి. రామారావు వచ్చారు.", "ఆయన వెళ్ళారు."),
        ("ಎಸ್. ಎಲ್. ಭೈರಪ್ಪ ಬಂದರು.", "ಅವರು ಹೋದರು."),
        ("એમ. કે. ગાંધી આવ્યા.", "તે ગયા."),
        ("ولد أ.د. محمد في القاهرة.", "ثم سافر."),
        ("Žije zde sv. Jan.", "Odešel v Jan. 2007."),
    ],
)
@pytest.mark.parametrize("shape", ["NFC", "NFD"])
def test_full_stops_and_abbreviations_of_more_languages(
    sentences: tuple[str, ...], shape: Literal["NFC", "NFD"]
) -> None:
    told = tuple(unicodedata.normalize(shape, sentence) for sentence in sentences)
    assert split_sentences(" ".join(told)) == told


@pytest.mark.parametrize(
    "sentences",
    [
        ("彼は「行く。」と言った。", "彼女は泣いた。"),
        ("“走吧！”，他说。", "她走了。"),
        ("他走了。", "“我来了。”", "她说。"),
        ("မာရာသည် နေသည်။", "သူမတွင် ရှိသည်။"),
        ("ማራ ትኖራለች።", "ድመት አላት።"),
    ],
)
def test_where_no_space_parts_sentences(sentences: tuple[str, ...]) -> None:
    assert split_sentences("".join(sentences)) == sentences


def test_lao_has_no_full_stops() -> None:
    assert len(split_sentences("ທ່ານ ດຣ. ບຸນຍັງ ມາຮອດ")) == 1


@pytest.mark.parametrize(
    "question",
    [
        "Where is she?!",
        "« Où est Mara\u00a0? »",
        "Որտե՞ղ է Մարան։",
        "ማራ የት ናት፧",
        "Where is she⁇",
        "Where is Mara?..",
        "マラはどこ？！",
    ],
)
def test_a_question_answers_none(question: str) -> None:
    assert asks(question)
    assert not asks("Mara lives in Osta!…")


def test_a_label_may_stand_behind_a_wide_colon() -> None:
    assert parse_example("猫坐下， label：甲") == ("猫坐下", "甲")
    assert parse_example("猫坐下：甲") is None

"""Whether an answer says that there is none: the right answer to a question that has none.

Every sentence must say so and nothing else. "Unknown.", "It is not mentioned." and "The items do
not say where Mara lives." abstain; "Unknown, perhaps Osta." and "It is not mentioned, but Osta."
do not, since an answer with a way out would be right for every question. For the same reason an
answer that abstains answers no other question, whatever it names ("I do not know Osta").
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from finemem_env.scoring.unknown import UNKNOWN
from finemem_env.text import normalise, split_sentences

NO_ANSWER = "unknown"
"""What the readers are told to reply where the items do not give the answer."""

_TOLD = (
    r"(?:mentioned|stated|specified|provided|described|discussed|recorded|disclosed|indicated|"
    r"answered|answerable|determined)"
)
_SAID = rf"(?:{_TOLD}|said|given|known|available|told|clear|found)"
_SAY = (
    r"(?:say|mention|state|specify|give|provide|contain|include|describe|tell|indicate|record|show)"
)
_KNOW = (
    r"(?:know|tell|say|answer|determine|find|see|recall|remember|"
    r"have (?:any|enough|sufficient|that|this))"
)
_NOT = r"(?: not|n['’]t)"
_THING = (
    r"(?:information|mention|answer|record|evidence|details?|data|idea|clue|knowledge|memory|"
    r"context)"
)
_NOTHING = rf"(?:no|not enough|insufficient|not any) {_THING}"
# What an answer is taken from: a story's "The king did not tell his wife" is no abstention.
_SOURCE = (
    r"(?:items?|memor(?:y|ies)|notes?|texts?|contexts?|passages?|conversations?|chats?|dialogues?|"
    r"information|records?|documents?|stor(?:y|ies)|articles?|history|data|sessions?|questions?|"
    r"transcripts?|meetings?|excerpts?|sources?|entr(?:y|ies)|facts?|content|messages?|users?|"
    r"speakers?|authors?|narrators?|logs?|files?|books?|chapters?|paragraphs?|summar(?:y|ies)|"
    r"tables?|lists?|statements?|evidence|details?|answers?)"
)
_WHOLE = re.compile(
    r"(?:(?:the answer|this|that|it)(?: is|['’]s) )?"
    rf"(?:unknown|unanswerable|none|n/?a|noanswer|unclear|not {_SAID}|{_NOTHING})"
)
# What may follow these tells what is not known; a pause would let an answer follow.
_OPENING = re.compile(
    r"(?:(?:i(?: am|['’]m) )?sorry,? (?:but )?|unfortunately,? )?"
    r"(?:(?:based on|according to|from) [\w ]{1,40}, )?(?:"
    rf"(?:there(?: is|['’]s) |i (?:have|see|find) )?{_NOTHING}\b"
    rf"|there (?:is|are|was|were){_NOT} (?:any|enough) {_THING}\b"
    rf"|i(?: am|['’]m) (?:unable to {_KNOW}|not (?:able to {_KNOW}|sure|certain))\b"
    rf"|(?:nothing|none of the {_SOURCE})(?: in (?:the|my|your)(?: \w+){{1,3}})? {_SAY}s?\b"
    rf"|the (?:answer|information) (?:is|was){_NOT} (?:contained )?in (?:the|my|your) {_SOURCE}\b"
    rf"|(?:i|we) (?:(?:do|did|could|can){_NOT}|cannot|am not able to|was not able to) {_KNOW}\b"
    rf"|(?:the|this|that|these|those|my|your)(?: \w+){{0,3}} {_SOURCE}"
    rf" (?:do|does|did){_NOT} {_SAY}\b"
    rf"|(?:it|(?:this|that|the) {_SOURCE}|this|that) (?:is|was|are|were){_NOT} {_SAID}\b"
    rf"|the(?: \w+){{1,4}} (?:is|was|are|were){_NOT} {_TOLD}\b"
    rf"|(?:it|this|that|the)(?: \w+){{0,2}} (?:cannot|can{_NOT}|could{_NOT}) be {_SAID}\b"
    r")[^,;:.!?()—–]*"
    rf"|the(?: \w+){{1,4}} (?:is|was|are|were){_NOT} {_SAID}"
)
_CHINESE = re.compile(
    r"(?:答案)?是?(?:未知|不知道|不[详詳明]|不清楚|不[确確]定|"
    r"[无無]法(?:回答|[确確]定|得知|判[断斷])|"
    r"[没沒]有(?:提到|提及|[说說]明|答案|相[关關]信息|相[关關][资資][讯訊]|信息)|"
    r"未(?:提及|提到|[说說]明))"
)
_HINT = re.compile("n[oa'’/]|un|insuff")  # in everything English that abstains
_DENIES = re.compile(r"\b(?:not|never|nothing|nobody)\b|n['’]t\b")


def abstains(answer: str) -> bool:
    """Whether `answer` says that the answer is not known, and nothing else; "" does."""
    return all(map(_says_so, split_sentences(answer)))


def declines(answer: str, golds: Iterable[str]) -> bool:
    """Whether `answer` abstains where the golds tell something, which none of them says is not so.

    "There is no information" is no "no".
    """
    return abstains(answer) and not any(
        abstains(gold) or _DENIES.search(normalise(gold)) for gold in golds
    )


def _says_so(sentence: str) -> bool:
    bare = normalise(sentence).strip(" .!\"'“”‘’*_`。！…।۔؟")
    if not bare or bare in UNKNOWN:
        return True
    if not bare.isascii() and _CHINESE.fullmatch(bare):
        return True
    return _HINT.search(bare) is not None and any(
        form.fullmatch(bare) for form in (_WHOLE, _OPENING)
    )

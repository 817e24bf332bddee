"""Whether an answer says that there is none: the right answer to a question that has none.

Every sentence must say so and nothing else. "Unknown.", "It is not mentioned." and "The items do
not say where Mara lives." abstain; "Unknown, perhaps Osta." and "It is not mentioned, but Osta."
do not, since an answer with a way out would be right for every question.
"""

from __future__ import annotations

import re

from finemem_env.text import normalise, split_sentences

NO_ANSWER = "unknown"
"""What the readers are told to reply where the items do not give the answer."""

_SAID = (
    r"(?:mentioned|stated|said|specified|given|provided|known|available|described|discussed|"
    r"recorded|told|clear|disclosed|indicated|found|answered|determined|answerable)"
)
_SAY = (
    r"(?:say|mention|state|specify|give|provide|contain|include|describe|tell|indicate|record|show)"
)
_KNOW = r"(?:know|tell|say|answer|determine|find|see|recall|remember|have (?:any|enough))"
_NOT = r"(?: not|n['’]t)"
_NOTHING = (
    r"(?:no|not enough|insufficient|not any) "
    r"(?:information|mention|answer|record|evidence|details?|data)"
)
_WHOLE = re.compile(
    r"(?:(?:the answer|this|that|it)(?: is|['’]s) )?"
    rf"(?:unknown|unanswerable|none|n/?a|noanswer|unclear|not {_SAID}|{_NOTHING})"
)
# What may follow these tells what is not known; a pause would let an answer follow.
_OPENING = re.compile(
    r"(?:(?:based on|according to|from) [\w ]{1,40}, )?(?:"
    rf"(?:there(?: is|['’]s) |i (?:have|see|find) )?{_NOTHING}\b"
    rf"|(?:i|we) (?:(?:do|did|could|can){_NOT}|cannot|am not able to|was not able to) {_KNOW}\b"
    rf"|(?:the|this|that|these|those|my|your|no)(?: \w+){{1,4}} (?:do|does|did){_NOT} {_SAY}\b"
    rf"|(?:it|this|that|the(?: \w+){{1,4}}) (?:is|was|are|were){_NOT} {_SAID}\b"
    rf"|(?:it|this|that|the)(?: \w+){{0,2}} (?:cannot|can{_NOT}|could{_NOT}) be {_SAID}\b"
    r")[^,;:.!?()—–]*"
)
_CHINESE = re.compile(
    r"(?:答案)?是?(?:未知|不知道|无法(?:回答|确定|得知)|没有(?:提到|提及|说明|答案|相关信息)|"
    r"未(?:提及|提到|说明))"
)


def abstains(answer: str) -> bool:
    """Whether `answer` says that the answer is not known, and nothing else; "" does."""
    return all(map(_says_so, split_sentences(answer)))


def _says_so(sentence: str) -> bool:
    bare = normalise(sentence).strip(" .!\"'“”‘’*_`。！…")
    return not bare or any(form.fullmatch(bare) for form in (_WHOLE, _OPENING, _CHINESE))

"""Which choice of several an answer names: by its text or by its letter, and only one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finemem_env.scoring.matching import Form, contains, equal, form

_WIDE = {wide: wide - 0xFEE0 for wide in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_LETTER = re.compile(r"^\W*([A-Za-z])\s*(?:[).:\]*、。．：）]|$)")
_SAID_LETTER = re.compile(
    r"(?:\b(?i:answer|option|choice|réponse|respuesta|resposta|risposta|antwort|antwoord|svar|"
    r"odpowiedź|cevap|ответ|відповідь|jawaban|đáp án)|答案|选项|選項|选|選|答え|正解|정답|답|उत्तर|"
    r"الإجابة|الجواب|תשובה|คำตอบ)\s*+"
    r"(?:(?:(?i:is|est|es|é|è|ist|jest|adalah)\b|是|为|為|は|은|는|:|：)\s*+)*+"
    r"[(（]?([A-Z])(?![A-Za-z0-9])(?!\s+(?!(?:because|since)\b)[a-z])"
)
# Another letter right behind the first, itself marked as one: "A/B", "(A) (B)", "A, B or C".
_OR = r"(?:or|and|oder|und|ou|et|o|y|e|или|и|或|和)"
_ANOTHER = re.compile(
    rf"[\W_]*(?:{_OR}[\W_]+)?(?:([A-Z])(?=\s*(?:[).:\]*/,;|、。．：）]|$|(?:or|and)\b))|"
    r"([a-z])(?=[).\]:/]))"
)
_ONE_BEFORE = re.compile(rf"\b([A-Z])[).\]]?(?:\s*[,/;]\s*|\s+{_OR}\s+)(?:\w+\s+)?\(?\Z")
_NEAR = 24  # characters that it is looked for in


def chosen_of(text: str, choices: Sequence[str]) -> int | None:
    """Index of the choice that `text` names by its text or letter; None: none, or more than one."""
    said, forms = form(text), [form(choice) for choice in choices]
    same = [i for i, choice in enumerate(forms) if choice.raw == said.raw]
    same = same or [i for i, choice in enumerate(forms) if equal(said, choice)]
    if same:
        return same[0]
    labelled = (f" {chr(ord('a') + i)}{one.plain}" for i, one in enumerate(forms) if one.tokens)
    if sum(label in said.plain for label in labelled) > 1:
        return None  # "A) York B) London"
    text = text if text.isascii() else text.translate(_WIDE)
    letter = _LETTER.match(text) or _SAID_LETTER.search(text)
    place = -1 if letter is None else _index(letter[1])
    if letter is not None and place < len(choices):
        return None if _lists(text, letter, forms) else place
    named = [i for i, choice in enumerate(forms) if contains(said, choice)]
    longest = [i for i in named if not any(j != i and contains(forms[j], forms[i]) for j in named)]
    return longest[0] if len(longest) == 1 else None


def _index(letter: str) -> int:
    return ord(letter.upper()) - ord("A")


def _lists(text: str, letter: re.Match[str], choices: Sequence[Form]) -> bool:
    """Whether the letter of another choice stands beside, and not the text of the first."""
    start, end = letter.span(1)
    before = _ONE_BEFORE.search(text[max(0, start - _NEAR) : start])
    after = _ANOTHER.match(text, end)
    beside = [found[found.lastindex or 0] for found in (before, after) if found is not None]
    others = {_index(one) for one in beside} - {_index(letter[1])}
    if not any(other < len(choices) for other in others):
        return False
    return not contains(form(text[end:]), choices[_index(letter[1])])

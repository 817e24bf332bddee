"""Question words of many languages beside English, and what kind of word answers them.

Only ever a bonus: a question without a known word is read by its other words.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["name", "date", "number"]

# As search terms: folded, Greek without accents, the first letters of Thai words. Left out is what
# is also an English word ("was", "die").
# Names are told by their capitals: only of languages that have them.
_NAME = """
    wer wem wen wessen wo qui où quién quiénes dónde quem onde wie kto gdzie kdo kde
    кто кого кому кем где хто ποιοσ ποιον ποια kim kimi nerede siapa
"""
_NUMBER = """
    wieviel viele combien cuánto cuántos cuánta cuántas quantos quantas quanti
    quante hoeveel ile kolik сколько скільки ποσα ποσο ποσοι ποσεσ ποση kaç كم چند
    כמה कितने कितना कितनी bao mấy berapa কত எத்தனை 多少 几 いく 몇 เท่า
"""
_DATE = """
    wann quand cuándo quando wanneer när når hvornår kiedy kdy когда коли ποτε متي
    מתי कब kapan 何时 いつ 언제 เมื่อ
"""
_OTHER = """
    wie warum welche welcher welches welchem welchen woher wohin que quoi quel
    quelle quels quelles comment pourquoi qué cuál cuáles cómo qual quais quale
    quali cosa perché wat welke waar hoe vem vad vilken vilket hvem hvad hvilken
    hvor jaki jaka jakie jakim który która které který что чего чем какой какая
    какое какие каком какую какого почему що який яка яке які τι ποιο ποιοι ποιεσ
    πωσ ne hangi neden nasil ما ماذا اين كيف اي لماذا چه كدام كجا چرا מי מה איזה
    איזו איפה היכן איך מדוע क्या कौन किसने किस किसे किसका कहाँ कैसे क्यों কে কী
    কোথায় কখন কোন யார் என்ன எங்கு gì nào đâu apa bagaimana 什么 哪个 哪 怎么 何 どの どれ どん なぜ
    무엇 어느 어떤 얼마 왜 อะไ ไหน ใด 谁 哪里 誰 どこ 누구 어디 ใคร
"""
QUESTION_WORDS: dict[str, Kind | None] = {
    **dict.fromkeys(_OTHER.split()),
    **dict.fromkeys(_NAME.split(), "name"),
    **dict.fromkeys(_NUMBER.split(), "number"),
    **dict.fromkeys(_DATE.split(), "date"),
}

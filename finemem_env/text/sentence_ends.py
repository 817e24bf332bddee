"""Where the sentences of a line end, in any script, without cutting names, dates and abbreviations.

A full stop that may belong to the word before it ends nothing: two sentences in one piece cost
little, a name in two pieces cannot be found. Capitals decide where a script has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from finemem_env.text.folding import nfc
from finemem_env.text.unicode_tables import MARK, SYLLABLES, UNSPACED

# Followed by a space: Latin, Arabic, Urdu, Armenian, Ethiopic, Khmer, Burmese, Tibetan, …
SPACED_STOPS = ".!?…؟۔։።፧፨។៕။།༎᠃‼⁇⁈⁉܀߹"
# With or without a space: Chinese and Japanese, and the languages of India.
SOLID_STOPS = "。！？｡।॥"
STOPS = frozenset(SPACED_STOPS + SOLID_STOPS + "．")
CLOSING = "\"'”’“»›)]」』）》〉】"
_CLOSING = re.escape(CLOSING)
# A full stop of full width is also a decimal point.
_WIDE_STOP = r"(?<![0-9０-９A-Za-zＡ-Ｚａ-ｚ]．)(?<=．)(?![0-9０-９])"
# In Greek ";" asks.
_GREEK = "\u0370-\u03ff\u1f00-\u1fff"
_ASKS = "|".join(f"(?<=[{_GREEK}]{accent}[;\u037e])" for accent in ("", "[\u0300-\u0345]"))
_END = re.compile(
    rf"[{SPACED_STOPS}{SOLID_STOPS}．;\u037e](?:"
    rf"(?:(?<=[{SPACED_STOPS}])|{_ASKS})[{_CLOSING}]*\s+(?=[^\sa-z])|"
    rf"(?:(?<=[{SOLID_STOPS}])|{_WIDE_STOP})[{SOLID_STOPS}!?]*[{_CLOSING}]*\s*)"
)
_END_ASCII = re.compile(r"[.!?][\"')\]]*\s+(?=[^\sa-z])")

# Lower-case letters that also start a sentence: Georgian has capitals for headings only.
_GEORGIAN = re.compile("[\u10d0-\u10ff]")
_MARKS = re.compile(f"{MARK}+")
_UNSPACED = re.compile(f"[{SYLLABLES}{UNSPACED}]")
_INDIC = re.compile(f"[\u0900-\u0dff]{MARK}*$")
_THAI = re.compile("[\u0e00-\u0e7f]$")
_WORD_CHARS = 16  # how far back a word is looked for, so that "A. A. A. …" takes linear time
_OPENING = "\"'“”‘’„‚«»‹›([¿¡"
_JOINT = re.compile(r"[-‐‑–—/]")
# "z. B.", "s. XIX", "c. 1920", "v. Chr."
_AFTER_LETTER = re.compile(r"[^\W\d_]\.|\d|[IVXLC]+\b|(?:Chr|Kr)\b")
_ORDINAL = re.compile(r"\d{1,2}|[IVXLC]+")
_ORDINAL_CHARS = 80  # of the line before it, that tell its language

# Words that are followed by a name or a number. Those that also end sentences are left out.
_SHORT = """
    Mr Mrs Ms Dr Prof St Sr Jr vs etc e.g i.e cf No Nos Vol Vols Fig Figs Op Lt Col Gen Capt Cpt Maj
    Sgt Cpl Adm Cmdr Rev Msgr Gov Sen Messrs Hon Mt Ft Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov
    Dec approx ca pp Inc Ltd Co Ch Th Ph
    Hr Fr Hrn Hrsg Bd Nr Str Jh Jhs Chr bzw evtl ggf vgl Abb Abs Anm Kap geb gest gegr sog Mio Mrd
    Jän Mär Mrz Okt Dez Ing Dipl Mag inkl exkl zzgl ehem Univ u.a z.B z.T v.Chr n.Chr o.ä bspw
    MM Mme Mlle Mgr Ste apr env vol chap janv févr juil sept oct nov déc éd av
    Sra Srta Dra Dña Ud Uds Lic Arq Gral Cnel Tte Avda núm pág págs aprox Sto Sta Fco EE.UU p.ej ej
    Profa Exmo Exma séc Ltda Cia Sig Sigg Dott Avv Geom pag pagg Sen On.le
    dhr mevr mw drs ir bijv blz resp o.a jl
    dr prof mgr inż ul św nr tzw np m.in tj godz ks gen płk doc sv tzv např př nám č
    kl t.ex bl.a s.k f.d jfr f.eks jf Skt f.Kr e.Kr esim klo ks prof tri kb pl ún ifj özv
    Szt Gy Sz Zs
    Doç Yrd Sn Mah Cad Sok bkz örn M.Ö M.S T.C vb Alb
    TP Tp TS ThS GS PGS Nxb Tn Ny Jl Drs
    Δρ Αγ π.χ δηλ λ.χ σελ αρ κκ κα
    им ул проф акад св ст стр рис табл гл обл тов ген кн напр см ср доц тыс млн млрд Дж Хр пл просп
    т.н т.е м.ін вул обл
    डॉ प्रो पं स्व मो श्री श्रीमती सुश्री कु ए बी सी डी एफ जी एच आई जे के एल एम एन ओ पी आर एस टी यू वी
    திரு டாக்டர் ড ডা মো
"""
_ABBREVIATIONS = frozenset(_SHORT.split())
# Verbs and other short words that end sentences in languages of India, where an initial is a letter
# with its vowel as well. Hindi is often written with full stops, Gujarati always.
_LAST_WORDS = """
    है हैं हूँ हूं हो था थे थी थीं ना छ छु છે છો છું હા ના હો ਹੈ ਹਾਂ ਸੀ ਨਾ না হ্যাঁ ය වේ යි වූ නෑ வா போ தா நீ
    రా పో లే ಬಾ ಹೋ വാ പോ
"""
_FINAL = frozenset(_LAST_WORDS.split())
_GERMAN_MONTHS = """
    Januar Jänner Februar Feber März April Mai Juni Juli August September Oktober November Dezember
"""
_MONTHS = frozenset(_GERMAN_MONTHS.split())
# Words of languages that write "2." for "second", and of no English text.
_ORDINAL_WORDS = """
    der das dem des ist und im vom zum zur von mit wurde nach seit bis auf og och det af av til på
    ja oli vuonna az és egy volt je byl se roku dne ve bir ile un ir
"""
_ORDINAL_LANGUAGES = frozenset(_ORDINAL_WORDS.split())


def sentence_ends(line: str) -> Iterator[tuple[int, int]]:
    """(end of a sentence, start of what follows) for each end within a stripped line.

    Takes linear time. NFC and NFD of a line end alike.
    """
    if line.isascii():
        if not ("." in line or "!" in line or "?" in line):
            return
        ends, danda = _END_ASCII, False
    else:
        ends, danda = _END, "।" in line or "॥" in line
    begin = 0
    for match in ends.finditer(line):
        stop = match.start() + len(match[0].rstrip())
        following = match.end()
        if line[stop - 1] in ".۔" and _belongs(line, begin, stop - 1, following, danda):
            continue
        first = line[following : following + 1]
        if first > "\x7f" and _goes_on(first) and line[match.start()] not in SOLID_STOPS:
            continue
        yield stop, following
        begin = following


def _goes_on(first: str) -> bool:
    """Whether a word of this first letter, which is not ASCII, is inside a sentence."""
    return first.islower() and not _GEORGIAN.match(first)


def _belongs(line: str, begin: int, stop: int, following: int, danda: bool) -> bool:
    """Whether the full stop at `stop` belongs to the word before it."""
    before = line[max(begin, stop - _WORD_CHARS) : stop]
    if not before or before[-1].isspace():
        return False
    if not before.isascii() and (_THAI.search(before) or (danda and _INDIC.search(before))):
        return True  # Thai has no full stops, and where there are dandas they are the full stops
    whole = nfc(before.split()[-1]).lstrip(_OPENING)
    word = _JOINT.split(whole)[-1]
    if word in _ABBREVIATIONS or word in _FINAL:
        return word not in _FINAL
    if word[-1:] > "Z" and word[1:] and word.isascii():
        return False  # several letters, and at the end no capital and no digit
    bare = _MARKS.sub("", word)
    if bare[-1:].isupper() and (not bare[-2:-1].isalnum() or _UNSPACED.match(bare[-2])):
        return True
    if len(bare) == 1 and bare.isalpha():
        if bare > "z":
            return not _UNSPACED.match(bare)
        return word == whole and (
            _AFTER_LETTER.match(line, following) is not None
            or _writes_ordinals(line, begin, stop, following)
        )
    return _ORDINAL.fullmatch(word) is not None and _writes_ordinals(line, begin, stop, following)


def _writes_ordinals(line: str, begin: int, stop: int, following: int) -> bool:
    """Whether "2." may stand for "second": before a German month, or in a language that does so."""
    after = line[following : following + _ORDINAL_CHARS].split()
    if after and after[0].rstrip(".,;:)") in _MONTHS:
        return True
    words = line[max(begin, stop - _ORDINAL_CHARS) : stop].split() + after
    return not _ORDINAL_LANGUAGES.isdisjoint(nfc(word).lower() for word in words)

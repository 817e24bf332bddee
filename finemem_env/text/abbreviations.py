"""Words with a full stop of their own, by language, and short words that end sentences.

Left out is what also ends sentences ("etc." is followed by small letters where it does not).
"""

from __future__ import annotations

from finemem_env.text.folding import nfc

# Words that are followed by a name or a number.
_SHORT = """
    Mr Mrs Ms Dr Prof St Sr Jr vs etc e.g i.e cf No Nos Vol Vols Fig Figs Op Lt Col Gen Capt Cpt Maj
    Sgt Cpl Adm Cmdr Rev Msgr Gov Sen Messrs Hon Mt Ft approx ca pp Inc Ltd Co Ch Th Ph
    Hr Fr Hrn Hrsg Bd Nr Str Jh Jhs Chr bzw evtl ggf vgl Abb Abs Anm Kap geb gest gegr sog Mio Mrd
    Ing Dipl Mag inkl exkl zzgl ehem Univ u.a z.B z.T v.Chr n.Chr o.ä bspw
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
    al Pres Brig Pvt Bros Dept
    d.h d.w.z d.J v.a i.d.R sog bzgl dvs d.v.s fr.o.m
    bd ch Sté Bl
    Av Eng EE FF Gob Avda ctra
    sig dott avv ing geom
    Mnr mnr Mev mev Mevr Dhr dhr Ir bv
    Ks im hr al os ex
    npr napr tj gosp gđa gđica br čl mj inž akad
    Dl dl Dna dna str jud sec Sf sf Bd
    pvz šv Šv piem nt vt t.d þ.e m.a adib p.sh znj Znj məs
    puh os esim
    Kec Kab Hj Gng Bb Bw Bi Mh
    нпр тј тзв бр госп гр бул инж доц буд ім обл кв оз пос дер корп пер наб праф
    एक्स वाय वाई डब्ल्यू डा
    எம் எல் என் எஸ் எச் எப் எஃப் ஆர் எக்ஸ் ஒய் டபிள்யூ
    ఎమ్ ఎల్ ఎన్ ఎస్ ఎచ్ హెచ్ ఎఫ్ ఆర్ ఎక్స్ డబ్ల్యూ డా
    ಎಮ್ ಎಲ್ ಎನ್ ಎಸ್ ಎಚ್ ಹೆಚ್ ಎಫ್ ಆರ್ ಎಕ್ಸ್ ಡಬ್ಲ್ಯೂ ಡಾ
    എൽ എൻ എസ് എച്ച് എഫ് ആർ എക്സ് ഡോ
    એમ એલ એન એસ એચ એફ આર એક્સ ડૉ ડો
    এম এল এন এস এইচ এফ আর এক্স
    ਐਮ ਐਲ ਐਨ ਐਸ ਐਚ ਐਫ ਆਰ ਡਾ
    එම් එල් එන් එස් එච් එෆ් ආර්
"""
ABBREVIATIONS = frozenset(nfc(_SHORT).split())
# Before a number only: "Jan" is a name as well.
_SHORT_MONTHS = "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Jän Mär Mrz Okt Dez"
SHORT_MONTHS = frozenset(_SHORT_MONTHS.split())
# Verbs and other short words that end sentences in languages of India, where an initial is a letter
# with its vowel as well. Hindi is often written with full stops, Gujarati always.
_LAST_WORDS = """
    है हैं हूँ हूं हो था थे थी थीं ना छ छु છે છો છું હા ના હો ਹੈ ਹਾਂ ਸੀ ਨਾ না হ্যাঁ ය වේ යි වූ නෑ வா போ தா நீ
    రా పో లే ಬಾ ಹೋ വാ പോ
"""
FINAL = frozenset(nfc(_LAST_WORDS).split())

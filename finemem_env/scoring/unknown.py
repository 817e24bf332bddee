"""How languages beside English and Chinese say that an answer is not known: whole answers only."""

from __future__ import annotations

from finemem_env.text import normalise

_SAYINGS = """
    unbekannt, nicht bekannt, nicht erwähnt, nicht angegeben, keine angabe, keine angaben,
    keine information, keine informationen, ich weiß es nicht, ich weiß nicht, das weiß ich nicht
    inconnu, inconnue, non mentionné, non mentionnée, non précisé, je ne sais pas,
    on ne sait pas, aucune information
    desconocido, desconocida, no se menciona, no se sabe, no lo sé, no sé, sin información,
    no hay información, no mencionado
    desconhecido, desconhecida, não sei, não se sabe, não mencionado, não informado,
    não há informação, não há informações
    sconosciuto, sconosciuta, ignoto, non lo so, non si sa, non menzionato, non specificato,
    nessuna informazione
    onbekend, niet vermeld, weet ik niet, ik weet het niet, dat weet ik niet, geen informatie
    okänt, ukjent, ukendt, vet ej, jag vet inte, nämns inte, framgår inte, ingen information
    tuntematon, ei tiedossa, en tiedä
    неизвестно, не указано, не упоминается, не упомянуто, не знаю, я не знаю, нет информации,
    нет данных, нет ответа
    невідомо, не вказано, не згадується, не знаю, немає інформації
    nieznane, nieznany, nie wiadomo, nie wiem, nie podano, brak informacji
    neznámo, neznámé, nevím, není uvedeno
    necunoscut, nu știu, nu se menționează
    ismeretlen, nem tudom, nem ismert
    bilinmiyor, bilmiyorum, belirtilmemiş, bilgi yok
    άγνωστο, δεν γνωρίζω, δεν ξέρω, δεν αναφέρεται
    غير معروف, مجهول, لا أعرف, لا أعلم, غير مذكور, لم يذكر, لا توجد معلومات
    نامشخص, مشخص نیست, نمی‌دانم, ذکر نشده
    لا معلوم, نامعلوم, معلوم نہیں
    לא ידוע, לא יודע, לא צוין, אין מידע
    अज्ञात, पता नहीं, मुझे नहीं पता, ज्ञात नहीं, उल्लेख नहीं है, कोई जानकारी नहीं
    অজানা, জানি না, জানা নেই, উল্লেখ নেই
    தெரியவில்லை, தெரியாது
    ไม่ทราบ, ไม่รู้, ไม่ระบุ, ไม่ได้ระบุ, ไม่ได้กล่าวถึง, ไม่มีข้อมูล
    không rõ, không biết, tôi không biết, không được đề cập, không có thông tin
    tidak diketahui, tidak tahu, saya tidak tahu, tidak disebutkan, tidak ada informasi
    haijulikani, sijui
    不明, 不明です, わかりません, 分かりません, わからない, 分からない, 知りません, 記載なし,
    記載されていません, 言及されていません, 情報なし, 情報がありません
    알 수 없음, 알 수 없습니다, 모름, 모릅니다, 모르겠습니다, 언급되지 않음, 정보 없음
"""
UNKNOWN = frozenset(
    normalise(one) for line in _SAYINGS.splitlines() for one in line.split(",") if one.strip()
)
"""Normal forms of what says so."""

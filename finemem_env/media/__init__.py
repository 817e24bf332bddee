"""Pictures and sounds of chunks: what they are, what they cost, how they are written as text.

`formats` tells them by their first bytes, `tokens` has the rule by which they are counted, `forms`
their text form and their names, `files` reads them from beside an episode file, `png` and `wav`
write and read both without another package.
"""

from finemem_env.media.files import MOST_TEXT, decode_data, read_medium
from finemem_env.media.formats import sniff
from finemem_env.media.forms import (
    ShownMedium,
    called,
    encoded,
    find_names,
    parse_form,
    raw_media,
    shown_form,
    stored_form,
)
from finemem_env.media.png import read_png, write_png
from finemem_env.media.wav import read_wav, write_wav

__all__ = [
    "MOST_TEXT",
    "ShownMedium",
    "called",
    "decode_data",
    "encoded",
    "find_names",
    "parse_form",
    "raw_media",
    "read_medium",
    "read_png",
    "read_wav",
    "shown_form",
    "sniff",
    "stored_form",
    "write_png",
    "write_wav",
]

"""Pictures and sounds of chunks: what they are, what they cost, how they are written as text.

`formats` tells them by their first bytes, `tokens` has the rule by which they are counted, `forms`
their text form, their names and their JSON.
"""

from finemem_env.media.formats import sniff
from finemem_env.media.forms import (
    called,
    encoded,
    parse_form,
    raw_media,
    shown_form,
    stored_form,
)
from finemem_env.media.tokens import raw_tokens

__all__ = [
    "called",
    "encoded",
    "parse_form",
    "raw_media",
    "raw_tokens",
    "shown_form",
    "sniff",
    "stored_form",
]

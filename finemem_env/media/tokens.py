"""What a medium costs beside its text: the one rule, by size of the picture, length of the sound.

An image costs a token for every 28 x 28 pixels begun in width and in height, at least 4 and at most
1,280; a sound 25 tokens for every second begun. These are the patches of Qwen2-VL (arXiv
2409.12191) and the frames of Qwen2-Audio (arXiv 2407.10759). A medium without a file costs nothing
but its text.
"""

from __future__ import annotations

import math
from functools import lru_cache

from finemem_env.errors import DataError
from finemem_env.media.formats import names, sniff
from finemem_env.types import MediumKind

PATCH = 28
LEAST, MOST = 4, 1280
PER_SECOND = 25


@lru_cache(maxsize=4096)
def raw_tokens(kind: MediumKind, data: bytes) -> int:
    """Tokens of a medium's file.

    Raises:
        DataError: the file is not of that kind, or only begins like one.
    """
    if not data:
        return 0
    known = sniff(data)
    if known is None or known.kind != kind:
        what = f"a {known.name} file" if known else f"a file that begins with {data[:8]!r}"
        raise DataError(f"expected {kind} data ({names(kind)}), found {what}.")
    size = known.measure(data)
    if size is None or (kind == "image" and not (size.width and size.height)):
        raise DataError(f"expected a whole {known.name} file, found one that breaks off or is bad.")
    if kind == "audio":
        return PER_SECOND * math.ceil(size.seconds)
    return min(MOST, max(LEAST, math.ceil(size.width / PATCH) * math.ceil(size.height / PATCH)))

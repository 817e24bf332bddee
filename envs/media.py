"""`FineMem-Media-v0`."""

from __future__ import annotations

from typing import ClassVar

from finemem_env.env import MemoryEnv
from finemem_env.types import Competency


class MediaEnv(MemoryEnv):
    """More than text: remember what pictures and sounds show, when they are gone.

    Description:
        Each chunk shows signs, charts or dialled numbers among small talk. Half of the captions
        (`difficulty={"captioned": …}`) say what is asked; the rest is in the picture or the sound
        only. A manager finds them in `info["media"]`; it may write down what it saw, or keep a
        medium by its name for a reader that sees. The default reader does not see.

    Arguments:
        source ("media"): "media" (drawn by code), any accurate-retrieval source,
            a {name: weight} mixture, or the path of an episode file with media (docs/media.md).
        All other keywords are common to the suite: docs/environments.md.

    Version History:
        v0: first version.
    """

    competency: ClassVar[Competency | None] = "AR"
    default_source: ClassVar[str] = "media"

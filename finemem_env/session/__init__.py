"""One episode and its memory.

`session` is the only definition of a step; `questions` says which questions are asked, `grading`
scores the answers, `records` is what comes out, `stream` reads episodes while they arrive, `info`
and `render` make them plain values and plain text.
"""

from finemem_env.session.info import make_info
from finemem_env.session.records import StepResult
from finemem_env.session.render import render_text
from finemem_env.session.session import Session, run_step
from finemem_env.session.stream import Streamed, StreamSession, StreamSource

__all__ = [
    "Session",
    "StepResult",
    "StreamSession",
    "StreamSource",
    "Streamed",
    "make_info",
    "render_text",
    "run_step",
]

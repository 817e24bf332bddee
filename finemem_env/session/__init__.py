"""One episode and its memory.

`session` is the only definition of a step, `rounds` drives it; `feed` is what it reads, `stream`
makes episodes of what arrives, `questions` says which questions are asked, `grading` scores the
answers, `records` is what comes out, `info` and `render` make them plain values and plain text.
"""

from finemem_env.session.feed import Stream, Streamed
from finemem_env.session.info import limits_of, public
from finemem_env.session.records import StepResult
from finemem_env.session.render import render_text
from finemem_env.session.rounds import end_here, run_step
from finemem_env.session.session import Session
from finemem_env.session.stream import StreamSource

__all__ = [
    "Session",
    "StepResult",
    "Stream",
    "StreamSource",
    "Streamed",
    "end_here",
    "limits_of",
    "public",
    "render_text",
    "run_step",
]

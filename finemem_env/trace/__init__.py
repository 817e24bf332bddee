"""The trace of one finished episode, `finemem-trace/2`: enough to score and inspect it again.

`format` is the record and its file, `playback` writes it from a session and drives a fresh one.
"""

from finemem_env.trace.format import (
    Trace,
    TraceAnswer,
    TraceStep,
    parse_trace,
    read_traces,
    trace_line,
    without_texts,
    write_traces,
)
from finemem_env.trace.playback import record_trace, replay

__all__ = [
    "Trace",
    "TraceAnswer",
    "TraceStep",
    "parse_trace",
    "read_traces",
    "record_trace",
    "replay",
    "trace_line",
    "without_texts",
    "write_traces",
]

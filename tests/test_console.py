"""What a console lacks becomes an escape, whatever happened to the stream before."""

from __future__ import annotations

import io

from finemem_env.console import accept_any_text


def stream(text: str, encoding: str = "ascii") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding=encoding, errors="strict")


def test_what_the_encoding_lacks_is_written_as_an_escape() -> None:
    output = stream("")
    accept_any_text(output, None, io.StringIO())
    output.write("Osta 中")
    output.flush()
    assert output.buffer.getvalue() == rb"Osta \u4e2d"  # type: ignore[attr-defined]


def test_a_stream_that_was_read_from_stays_as_it_is() -> None:
    read = stream("first\nsecond\n")
    assert read.readline() == "first\n"
    accept_any_text(read)
    assert read.errors == "strict"
    assert read.readline() == "second\n"

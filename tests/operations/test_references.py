"""Operations that name the chunk's sentences by number: JSON with lines, and the short forms."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finemem_env.memory import Memory
from finemem_env.operations import MAX_ACTION_CHARS, Parsed, concise, parse, render
from finemem_env.text import approx_tokens, split_sentences
from finemem_env.text.lines import join_lines
from finemem_env.types import Op, Operation, OperationResult, RejectReason

SENTENCES = (
    "Mara moved to Osta.",
    "She sold her boat.",
    "fine soup label: food",
    "slow train label: travel",
    "The code [2] is new.",
)
R = RejectReason


def keep(*lines: int) -> Operation:
    content = join_lines([SENTENCES[line - 1] for line in lines])
    return Operation(Op.INSERT, content, lines=lines)


def replace(item: int, *lines: int) -> Operation:
    content = join_lines([SENTENCES[line - 1] for line in lines])
    return Operation(Op.UPDATE, content, item, lines=lines)


def drop(item: int) -> Operation:
    return Operation(Op.DELETE, item_id=item)


def no(op: Op | str, reason: RejectReason) -> OperationResult:
    return OperationResult(str(op), reason)


SKIP = Operation(Op.SKIP)
FREE = Operation(Op.INSERT, "Mara has no boat.")
FREE_JSON = '{"op":"INSERT","content":"Mara has no boat."}'

REPLIES: dict[str, tuple[str, tuple[Parsed, ...]]] = {
    "one item a line": ("KEEP 2 5", (keep(2), keep(5))),
    "one item of two lines": ('{"op": "INSERT", "lines": [2, 5]}', (keep(2, 5),)),
    "the order is the reply's": ('{"op": "INSERT", "lines": [5, 2, 5]}', (keep(5, 2),)),
    "examples stay lines": ('{"op": "INSERT", "lines": [3, 4]}', (keep(3, 4),)),
    "an update": ('{"op": "UPDATE", "id": "3", "lines": [4]}', (replace(3, 4),)),
    "numbers as text": ('{"op": "INSERT", "lines": "2 4-5"}', (keep(2, 4, 5),)),
    "one number": ('{"op": "INSERT", "lines": 2}', (keep(2),)),
    "texts in a list": ('{"op": "INSERT", "lines": ["2", "[5]"]}', (keep(2, 5),)),
    "a tool call": (
        '<tool_call>{"name": "INSERT", "arguments": {"content": "", "lines": [1]}}</tool_call>',
        (keep(1),),
    ),
    "a store": (
        '{"op": "INSERT", "store": "episodic", "lines": [1]}',
        (Operation(Op.INSERT, SENTENCES[0], store="episodic", lines=(1,)),),
    ),
    "content comes first": (
        '{"op": "INSERT", "content": "Mara has no boat.", "lines": [1]}',
        (FREE,),
    ),
    "all short forms": (
        "KEEP 2\nREPLACE 3 WITH 4 5\nDROP 7",
        (keep(2), replace(3, 4, 5), drop(7)),
    ),
    "any case": ("keep 2\nReplace 3 with 4\ndrop 7 8", (keep(2), replace(3, 4), drop(7), drop(8))),
    "skip": ("SKIP", (SKIP,)),
    "skip beside another": (
        "SKIP\nKEEP 1",
        (no(Op.SKIP, R.SKIP_NOT_ALONE), keep(1)),
    ),
    "ranges": ("KEEP 2-3 5", (keep(2), keep(3), keep(5))),
    "brackets, commas and words": ("Keep lines [2], [3] and 5.", (keep(2), keep(3), keep(5))),
    "other digits": ("KEEP ٢", (keep(2),)),
    "a fence": ("Here:\n```\nKEEP 1\nDROP 2\n```\nDone.", (keep(1), drop(2))),
    "marks of a list": (
        "- KEEP 2\n2. DROP 1\n`KEEP 3`\n**KEEP** 4",
        (keep(2), drop(1), keep(3), keep(4)),
    ),
    "line ends of Windows": ("KEEP 1\r\nDROP 2\r\n", (keep(1), drop(2))),
    "thinking": ("<think>KEEP 1\nKEEP 2</think>KEEP 3", (keep(3),)),
    "free text beside it": (f"KEEP 2\n{FREE_JSON}\nDROP 1", (keep(2), FREE, drop(1))),
    "a list beside it": (f"[{FREE_JSON}]\nDROP 1", (FREE, drop(1))),
    "inside a content": (
        '[{"op": "INSERT", "content": "so:\nKEEP 2\nDROP 1"}]',
        (Operation(Op.INSERT, "so:\nKEEP 2\nDROP 1"),),
    ),
    "prose": ("Keep in mind:\nskip it?\nDrop the rest.", (no("", R.NO_OPERATION),)),
    "prose before JSON": (f"Skip nothing: [{FREE_JSON}]", (FREE,)),
    "an unknown line": ("KEEP 2 6", (keep(2), no(Op.INSERT, R.UNKNOWN_LINE))),
    "an unknown line of an item": (
        '{"op": "INSERT", "lines": [2, 6]}',
        (no(Op.INSERT, R.UNKNOWN_LINE),),
    ),
    "a range beyond": ("KEEP 4-900000000000", (no(Op.INSERT, R.UNKNOWN_LINE),)),
    "a range backwards": ("KEEP 3-2", (no(Op.INSERT, R.UNKNOWN_LINE),)),
    "line zero": ('{"op": "INSERT", "lines": [0]}', (no(Op.INSERT, R.UNKNOWN_LINE),)),
    "a negative line": ('{"op": "INSERT", "lines": [-1]}', (no(Op.INSERT, R.UNKNOWN_LINE),)),
    "a huge line": (f"KEEP {'9' * 5000}", (no(Op.INSERT, R.UNKNOWN_LINE),)),
    "a word for a line": ('{"op": "INSERT", "lines": ["two"]}', (no(Op.INSERT, R.UNKNOWN_LINE),)),
    "true": ('{"op": "INSERT", "lines": [true]}', (no(Op.INSERT, R.WRONG_TYPE),)),
    "a nested list": ('{"op": "INSERT", "lines": [[1]]}', (no(Op.INSERT, R.WRONG_TYPE),)),
    "no line": ('{"op": "INSERT", "lines": []}', (no(Op.INSERT, R.MISSING_FIELD),)),
    "noise for lines": ('{"op": "INSERT", "lines": ", "}', (no(Op.INSERT, R.MISSING_FIELD),)),
    "an update without id": ('{"op": "UPDATE", "lines": [1]}', (no(Op.UPDATE, R.MISSING_FIELD),)),
    "nothing kept": ("KEEP", (no(Op.INSERT, R.MALFORMED),)),
    "capitals that cannot be read": (
        "KEEP it\nREPLACE 3\nREPLACE 1 2 WITH 3\nDROP -1",
        (
            no(Op.INSERT, R.MALFORMED),
            no(Op.UPDATE, R.MALFORMED),
            no(Op.UPDATE, R.MALFORMED),
            no(Op.DELETE, R.MALFORMED),
        ),
    ),
    "items have no ranges": ("DROP 1-3", (no(Op.DELETE, R.UNKNOWN_ID),)),
    "a huge item": (f"REPLACE {'9' * 40} WITH 1", (no(Op.UPDATE, R.UNKNOWN_ID),)),
}


@pytest.mark.parametrize("name", REPLIES)
def test_what_a_reply_means(name: str) -> None:
    reply, expected = REPLIES[name]
    assert parse(reply, SENTENCES) == expected


@pytest.mark.parametrize("reply", ["KEEP 2 5", "REPLACE 3 WITH 4", "DROP 7", "SKIP", "keep 1"])
def test_without_numbers_there_are_no_short_forms(reply: str) -> None:
    assert parse(reply) == (no("", R.NO_OPERATION),)


def test_without_numbers_lines_are_no_content() -> None:
    assert parse('{"op": "INSERT", "lines": [2]}') == (no(Op.INSERT, R.MISSING_FIELD),)


def test_a_chunk_without_sentences_has_no_lines() -> None:
    assert parse("KEEP 1", ()) == (no(Op.INSERT, R.UNKNOWN_LINE),)
    assert parse("SKIP", ()) == (SKIP,)


def test_what_is_named_counts_as_if_it_were_written_out() -> None:
    long = ("word " * 20_000 + "end.", "Short.")
    found = parse("KEEP 1 1 1 1 2", long)
    assert [one.content for one in found if isinstance(one, Operation)] == [long[0]] * 2
    assert [one.reason for one in found if isinstance(one, OperationResult)] == [
        R.ACTION_TOO_LONG
    ] * 3


HOSTILE: dict[str, Callable[[int], str]] = {
    "kept lines": lambda n: "KEEP 1\n" * (n // 7),
    "one long line": lambda n: "KEEP" + " 1" * (n // 2 - 2),
    "ranges": lambda n: "KEEP" + " 1-500" * (n // 6 - 1),
    "a list": lambda n: '{"op":"INSERT","lines":[' + "1," * (n // 2 - 14) + "1]}",
    "items of everything": lambda n: '{"op":"INSERT","lines":"1-500"}\n' * (n // 33),
    "digits": lambda n: "KEEP " + "9" * (n - 5),
    "digits and spaces": lambda n: "KEEP " + "9   " * (n // 4 - 2),
    "stops": lambda n: "KEEP " + ". " * (n // 2 - 3),
    "marks": lambda n: ("- " * 50 + "KEEP\n") * (n // 106),
    "spaces": lambda n: " " * (n - 5) + "KEEP",
    "words": lambda n: "REPLACE " + "WITH " * (n // 5 - 2),
    "braces": lambda n: "KEEP {\n" * (n // 7),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_replies_write_no_more_than_they_may(name: str) -> None:
    sentences = [f"Line {number} says so." for number in range(500)]
    found = parse(HOSTILE[name](MAX_ACTION_CHARS // 8), sentences)
    written = [one.content or "" for one in found if isinstance(one, Operation)]
    assert found
    assert sum(map(len, written)) <= MAX_ACTION_CHARS


PARTS = "KEEP keep REPLACE WITH DROP SKIP 1 2 5 - , [3] <think> </think> ``` ]} ² ٣ ９"
WORDS = st.sampled_from(
    [*PARTS.split(" "), "\n", '"', '{"op":"INSERT","lines":[', "10" * 20, "\ud800"]
)
CONTENTS = [*SENTENCES, "Other words.", " ".join(SENTENCES[:2]), SENTENCES[0].upper()]


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=30))
def test_no_reply_raises(reply: str) -> None:
    found = parse(reply, SENTENCES)
    memory = Memory(count_tokens=approx_tokens, max_operations=8)
    results = memory.apply(0, found).results
    assert len(results) == len(found) >= 1
    for entry, result in zip(found, results, strict=True):
        if isinstance(entry, Operation):
            assert result.lines == entry.lines
            assert all(SENTENCES[line - 1] in (entry.content or "") for line in entry.lines)
    json.dumps(memory.snapshot())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(
            Operation,
            st.just(Op.INSERT),
            st.sampled_from(CONTENTS),
            store=st.sampled_from([None, None, "episodic"]),
        )
        | st.builds(
            Operation, st.just(Op.UPDATE), st.sampled_from([*SENTENCES, "x y"]), st.integers(0, 9)
        )
        | st.integers(0, 20).map(drop),
        min_size=1,
        max_size=8,
    )
)
def test_concise_actions_mean_the_same(operations: list[Operation]) -> None:
    short = concise(operations, SENTENCES)
    assert len(short) <= len(render(operations))
    found = parse(short, SENTENCES)
    assert [_bare(one) for one in found] == [_bare(one) for one in operations]
    referred = [one for one in found if isinstance(one, Operation)]
    assert parse(render(referred), SENTENCES) == found


def _bare(one: Parsed) -> object:
    return (one.op, one.content, one.item_id, one.store) if isinstance(one, Operation) else one


def test_concise_actions_are_short() -> None:
    operations = [Operation(Op.INSERT, text) for text in SENTENCES[:3]]
    operations += [FREE, Operation(Op.UPDATE, SENTENCES[4], 3), drop(7), drop(8)]
    lines = ["KEEP 1-3", FREE_JSON, "REPLACE 3 WITH 5", "DROP 7 8"]
    assert concise(operations, SENTENCES).splitlines() == lines
    assert concise([SKIP], SENTENCES) == "SKIP"
    chunk = Operation(Op.INSERT, join_lines(SENTENCES), store='say "lines":[1,2,3,4,5]')
    assert '"lines":"1-5"' in concise([chunk], SENTENCES)
    assert parse(concise([chunk], SENTENCES), SENTENCES) == (
        dataclasses.replace(chunk, lines=(1, 2, 3, 4, 5)),
    )
    assert concise(operations, None) == render(operations)


@pytest.mark.parametrize(
    "sentences",
    [SENTENCES, ("No.", "5 is a number."), ("他来了。", "他走了。"), ("I saw Mr.", "Smith left.")],
)
def test_joined_lines_are_the_same_sentences(sentences: Sequence[str]) -> None:
    assert split_sentences(join_lines(sentences)) == tuple(sentences)

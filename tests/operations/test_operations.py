"""The action grammar: every dialect, every rejection that parsing decides, and its inverse."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finemem_env.operations import MAX_ACTION_CHARS, Parsed, is_blank, parse, render
from finemem_env.rewards import StepOutcome
from finemem_env.rewards.formulas import format_reward
from finemem_env.types import Op, Operation, OperationResult, RejectReason

INSERT = Operation(Op.INSERT, content="Mara lives in Osta.")
UPDATE = Operation(Op.UPDATE, content="Mara lives in Ven.", item_id=3)
DELETE = Operation(Op.DELETE, item_id=2)
SKIP = Operation(Op.SKIP)
ALL = (INSERT, UPDATE, DELETE)

INSERT_JSON = '{"op":"INSERT","content":"Mara lives in Osta."}'
UPDATE_JSON = '{"op":"UPDATE","id":"3","content":"Mara lives in Ven."}'
DELETE_JSON = '{"op":"DELETE","id":"2"}'
CANONICAL = f"[{INSERT_JSON},{UPDATE_JSON},{DELETE_JSON}]"
BROKEN_JSON = '{"op":"INSERT","content":"Mara'


def call(name: str, **arguments: object) -> str:
    return json.dumps({"name": name, "arguments": arguments})


def openai(name: str, arguments: object) -> dict[str, object]:
    function = {"name": name, "arguments": arguments}
    return {"id": "call_7", "type": "function", "function": function}


def rejected(reason: RejectReason, name: str = "") -> OperationResult:
    return OperationResult(name, reason)


MALFORMED = rejected(RejectReason.MALFORMED)
NOTHING = (rejected(RejectReason.NO_OPERATION),)

CALLS = "\n".join(
    [
        call("INSERT", content=INSERT.content),
        call("UPDATE", id="3", content=UPDATE.content),
        call("DELETE", id=2),
    ]
)

DIALECTS: dict[str, tuple[str, tuple[Parsed, ...]]] = {
    "canonical": (CANONICAL, ALL),
    "indented": (json.dumps(json.loads(CANONICAL), indent=2), ALL),
    "skip": ('[{"op":"SKIP"}]', (SKIP,)),
    "one object": (UPDATE_JSON, (UPDATE,)),
    "operations key": (f'{{"operations":{CANONICAL}}}', ALL),
    "operations key, one object": (f'{{"operations":{DELETE_JSON}}}', (DELETE,)),
    "objects without a list": (f"{INSERT_JSON}\n{UPDATE_JSON}\n{DELETE_JSON}", ALL),
    "two lists": (f"[{INSERT_JSON}] and [{UPDATE_JSON},{DELETE_JSON}]", ALL),
    "names in any case": ('[{"op":"delete","id":"2"}]', (DELETE,)),
    "name with spaces": ('[{"op":" Delete ","id":"2"}]', (DELETE,)),
    "alias ADD": ('[{"op":"add","content":"Mara lives in Osta."}]', (INSERT,)),
    "alias NOOP": ('{"op":"NOOP"}', (SKIP,)),
    "integer id": ('[{"op":"DELETE","id":2}]', (DELETE,)),
    "id with zeros and spaces": ('[{"op":"DELETE","id":" 002 "}]', (DELETE,)),
    "id in other digits": ('[{"op":"DELETE","id":"２"}]', (DELETE,)),
    "unknown fields": ('[{"op":"DELETE","id":2,"why":"old","content":7}]', (DELETE,)),
    "null counts as absent": ('[{"op":"DELETE","id":null,"memory_id":2,"store":null}]', (DELETE,)),
    "trailing comma": (f"[{DELETE_JSON},]", (DELETE,)),
    "line break in a string": (
        '[{"op":"INSERT","content":"a\nb\tc"}]',
        (Operation(Op.INSERT, content="a\nb\tc"),),
    ),
    "escapes": (
        r'[{"op":"INSERT","content":"\u00e9 \ud83d\ude00 \"q\" \\ \/"}]',
        (Operation(Op.INSERT, content='é 😀 "q" \\ /'),),
    ),
    "fenced": (f"```json\n{CANONICAL}\n```", ALL),
    "text around": (f"I keep [1] and {{x}} in mind.\n{CANONICAL}\nDone: see [2].", ALL),
    "reference before": (f"[1] says so. {CANONICAL}", ALL),
    "latex and braces before": (rf"\boxed{{a}} {{ x }} f{{i}} {DELETE_JSON}", (DELETE,)),
    "byte order mark": ("\ufeff" + CANONICAL, ALL),
    "store": (
        '[{"op":"INSERT","content":"x","store":"Semantic"}]',
        (Operation(Op.INSERT, content="x", store="semantic"),),
    ),
    "Hermes": (
        "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in CALLS.split("\n")),
        ALL,
    ),
    "Hermes without closing tags": (
        "\n".join(f"<tool_call>{one}" for one in CALLS.split("\n")),
        ALL,
    ),
    "Hermes, one call lacks a brace": (
        f"<tool_call>\n{call('INSERT', content='x')[:-1]}\n</tool_call>\n"
        f"<tool_call>\n{call('DELETE', id=2)}\n</tool_call>",
        (MALFORMED, DELETE),
    ),
    "Hermes SKIP": ('<tool_call>{"name": "SKIP", "arguments": {}}</tool_call>', (SKIP,)),
    "call without arguments": ('{"name": "noop"}', (SKIP,)),
    "call with null arguments": ('{"name": "noop", "arguments": null}', (SKIP,)),
    "Llama parameters": ('{"name": "DELETE", "parameters": {"id": "2"}}', (DELETE,)),
    "Mistral": (f"[TOOL_CALLS][{call('DELETE', id='2')}]", (DELETE,)),
    "OpenAI, arguments as text": (
        json.dumps({"tool_calls": [openai("DELETE", '{"id": 2}'), openai("delete", '{"id": 2}')]}),
        (DELETE, DELETE),
    ),
    "OpenAI, arguments as object": (
        json.dumps({"role": "assistant", "content": None, "tool_calls": [openai("SKIP", {})]}),
        (SKIP,),
    ),
    "OpenAI, bare list": (json.dumps([openai("DELETE", {"id": "2"})]), (DELETE,)),
    "OpenAI, empty arguments": (json.dumps([openai("SKIP", " ")]), (SKIP,)),
    "Qwen text protocol": (
        '✿FUNCTION✿: INSERT\n✿ARGS✿: {"content": "Mara lives in Osta."}\n'
        '✿FUNCTION✿: DELETE\n✿ARGS✿: {"id": "2"}\n✿RESULT✿: {"op":"DELETE","id":9}',
        (INSERT, DELETE),
    ),
    "Qwen text protocol, no arguments": ("✿FUNCTION✿: SKIP", (SKIP,)),
    "Qwen marks inside a string": (
        '[{"op":"INSERT","content":"✿FUNCTION✿: DELETE ✿RESULT✿"}]',
        (Operation(Op.INSERT, content="✿FUNCTION✿: DELETE ✿RESULT✿"),),
    ),
    "Mem-alpha insert": (
        call("new_memory_insert", memory_type="semantic_memory", content="x"),
        (Operation(Op.INSERT, content="x", store="semantic"),),
    ),
    "Mem-alpha update": (
        call("memory_update", memory_type="episodic_memory", new_content="x", memory_id="3"),
        (Operation(Op.UPDATE, content="x", item_id=3, store="episodic"),),
    ),
    "Mem-alpha core has no id": (
        call("memory_update", memory_type="core_memory", new_content="x"),
        (Operation(Op.UPDATE, content="x", store="core"),),
    ),
    "Mem-alpha delete": (
        call("memory_delete", memory_type="semantic_memory", memory_id="2"),
        (Operation(Op.DELETE, item_id=2, store="semantic"),),
    ),
    "thinking": (f"<think>Perhaps {UPDATE_JSON}? No.</think>\n[{DELETE_JSON}]", (DELETE,)),
    "two thoughts": (f"<think>a</think>\n<think>{UPDATE_JSON}</think>{DELETE_JSON}", (DELETE,)),
    "thinking opened by the prompt": (f"So {UPDATE_JSON}, no.</think>[{DELETE_JSON}]", (DELETE,)),
    "broken JSON in a thought": (f'So {{"op": </think>[{DELETE_JSON}]', (DELETE,)),
    "thinking by another mark": (f"<Thinking>{UPDATE_JSON}</THINKING>\n{DELETE_JSON}", (DELETE,)),
    "thinking without an end": (f"<think>Then {DELETE_JSON}", NOTHING),
    "operations, then thinking without an end": (f"{DELETE_JSON} <think> {UPDATE_JSON}", (DELETE,)),
    "tags inside a string": (
        '[{"op":"INSERT","content":"</think> <think> </tool_call>"}]',
        (Operation(Op.INSERT, content="</think> <think> </tool_call>"),),
    ),
    "cut off in the last operation": (f"[{INSERT_JSON},{BROKEN_JSON}", (INSERT, MALFORMED)),
    "cut off after a comma": (f"[{INSERT_JSON},{UPDATE_JSON},", (INSERT, UPDATE)),
    "cut off in a wrapper": (
        f'{{"operations":[{INSERT_JSON},{UPDATE_JSON},{BROKEN_JSON}',
        (INSERT, UPDATE, MALFORMED),
    ),
    "wrapper without its end": (f'{{"operations":[{INSERT_JSON},{UPDATE_JSON}', (INSERT, UPDATE)),
    "cut off in a tool call": (
        f"<tool_call>{call('DELETE', id=2)}</tool_call>\n<tool_call>{call('DELETE', id=2)[:-2]}",
        (DELETE, MALFORMED),
    ),
    "cut off in OpenAI calls": (
        json.dumps({"tool_calls": [openai("DELETE", {"id": 2}), openai("DELETE", "")]})[:-20],
        (DELETE, MALFORMED),
    ),
    "cut off in a fence": (f"```json\n[{DELETE_JSON},\n{BROKEN_JSON}\n", (DELETE, MALFORMED)),
    "cut off in the Qwen protocol": (
        '✿FUNCTION✿: DELETE\n✿ARGS✿: {"id": 2}\n✿FUNCTION✿: DELETE\n✿ARGS✿: {"id": ',
        (DELETE, rejected(RejectReason.MALFORMED, "DELETE")),
    ),
    "a broken operation between others": (
        f'[{INSERT_JSON},{{"op":"DELETE","id":}},{DELETE_JSON}]',
        (INSERT, MALFORMED, DELETE),
    ),
    "a broken operation in a wrapper": (
        f'{{"operations":[{INSERT_JSON},{{"op":"DELETE" "id":1}},{DELETE_JSON}]}}',
        (INSERT, MALFORMED, DELETE),
    ),
    "an unclosed operation between others": (
        f'[{INSERT_JSON},{{"op":"DELETE","id":["2"}},{DELETE_JSON}]',
        (INSERT, MALFORMED, DELETE),
    ),
}

R = RejectReason
REJECTIONS: dict[str, tuple[str, tuple[OperationResult, ...]]] = {
    "nothing": ("", NOTHING),
    "white space": (" \n\t", NOTHING),
    "prose": ("I would rather not change anything.", NOTHING),
    "empty list": ("[]", NOTHING),
    "empty list of operations": ('{"operations": []}', NOTHING),
    "other JSON": ('["SKIP", 1, null] "INSERT" 3 true', NOTHING),
    "unclosed list": ("[" * 500, NOTHING),
    "too long": ("x" * (MAX_ACTION_CHARS + 1), (rejected(R.ACTION_TOO_LONG),)),
    "too long, valid": (
        json.dumps([{"op": "INSERT", "content": "x" * MAX_ACTION_CHARS}]),
        (rejected(R.ACTION_TOO_LONG),),
    ),
    "unknown name": ('[{"op":"MERGE","id":1}]', (rejected(R.UNKNOWN_OPERATION, "MERGE"),)),
    "empty name": ('[{"op":"","id":1}]', (rejected(R.UNKNOWN_OPERATION),)),
    "success message as a name": (
        call("executed successfully"),
        (rejected(R.UNKNOWN_OPERATION, "executed successfully"),),
    ),
    "a long name is cut": (call("n" * 1000), (rejected(R.UNKNOWN_OPERATION, "n" * 32),)),
    "a name with a lone surrogate": (
        '[{"op":"\\ud800"}]',
        (rejected(R.UNKNOWN_OPERATION, "\ufffd"),),
    ),
    "a search tool": (
        call("search_memory", memory_type="semantic_memory", query="x"),
        (rejected(R.UNKNOWN_OPERATION, "search_memory"),),
    ),
    "no name": ('[{"content":"x"}]', (rejected(R.MISSING_FIELD),)),
    "null name": ('[{"op":null}]', (rejected(R.MISSING_FIELD),)),
    "empty object": ("[{}]", (rejected(R.MISSING_FIELD),)),
    "function is a text": ('{"function": "INSERT"}', (rejected(R.MISSING_FIELD),)),
    "INSERT without content": ('[{"op":"INSERT"}]', (rejected(R.MISSING_FIELD, "INSERT"),)),
    "INSERT of null": (
        '[{"op":"INSERT","content":null}]',
        (rejected(R.MISSING_FIELD, "INSERT"),),
    ),
    "UPDATE without id": (
        '[{"op":"UPDATE","content":"x"}]',
        (rejected(R.MISSING_FIELD, "UPDATE"),),
    ),
    "UPDATE without content": ('[{"op":"UPDATE","id":1}]', (rejected(R.MISSING_FIELD, "UPDATE"),)),
    "DELETE without id": ('[{"op":"DELETE"}]', (rejected(R.MISSING_FIELD, "DELETE"),)),
    "name is a number": ('[{"op":3}]', (rejected(R.WRONG_TYPE),)),
    "name is a list": ('[{"op":["SKIP"]}]', (rejected(R.WRONG_TYPE),)),
    "list entries that are no objects": (
        '["SKIP", {"op":3}, 7]',
        (rejected(R.WRONG_TYPE),) * 3,
    ),
    "operations is a text": ('{"operations":"SKIP"}', (rejected(R.WRONG_TYPE),)),
    "content is a number": (
        '[{"op":"INSERT","content":7}]',
        (rejected(R.WRONG_TYPE, "INSERT"),),
    ),
    "content is a list": (
        '[{"op":"INSERT","content":["x"]}]',
        (rejected(R.WRONG_TYPE, "INSERT"),),
    ),
    "content is false": (
        '[{"op":"INSERT","content":false}]',
        (rejected(R.WRONG_TYPE, "INSERT"),),
    ),
    "id is a bool": ('[{"op":"DELETE","id":true}]', (rejected(R.WRONG_TYPE, "DELETE"),)),
    "id is a float": ('[{"op":"DELETE","id":2.0}]', (rejected(R.WRONG_TYPE, "DELETE"),)),
    "id is NaN": ('[{"op":"DELETE","id":NaN}]', (rejected(R.WRONG_TYPE, "DELETE"),)),
    "id is infinite": ('[{"op":"DELETE","id":-Infinity}]', (rejected(R.WRONG_TYPE, "DELETE"),)),
    "id is 1e999": ('[{"op":"DELETE","id":1e999}]', (rejected(R.WRONG_TYPE, "DELETE"),)),
    "id is a list": ('[{"op":"DELETE","id":[2]}]', (rejected(R.WRONG_TYPE, "DELETE"),)),
    "store is a number": (
        '[{"op":"INSERT","content":"x","store":1}]',
        (rejected(R.WRONG_TYPE, "INSERT"),),
    ),
    "arguments is a list": (
        '{"name":"INSERT","arguments":["x"]}',
        (rejected(R.WRONG_TYPE, "INSERT"),),
    ),
    "arguments as text is a list": (
        '{"name":"INSERT","arguments":"[1]"}',
        (rejected(R.WRONG_TYPE, "INSERT"),),
    ),
    "empty content": ('[{"op":"INSERT","content":""}]', (rejected(R.EMPTY_CONTENT, "INSERT"),)),
    "white content": (
        '[{"op":"UPDATE","id":1,"content":" \\n\\u00a0\\u3000"}]',
        (rejected(R.EMPTY_CONTENT, "UPDATE"),),
    ),
    "invisible content": (
        '[{"op":"INSERT","content":"\\u200b\\ufeff\\u0000\\u0301\\ufe0f\\u2060"}]',
        (rejected(R.EMPTY_CONTENT, "INSERT"),),
    ),
    "id is a word": ('[{"op":"DELETE","id":"abc"}]', (rejected(R.UNKNOWN_ID, "DELETE"),)),
    "id is empty": ('[{"op":"DELETE","id":""}]', (rejected(R.UNKNOWN_ID, "DELETE"),)),
    "id is negative": ('[{"op":"DELETE","id":-1}]', (rejected(R.UNKNOWN_ID, "DELETE"),)),
    "id is a negative text": ('[{"op":"DELETE","id":"-1"}]', (rejected(R.UNKNOWN_ID, "DELETE"),)),
    "id is a superscript": ('[{"op":"DELETE","id":"²"}]', (rejected(R.UNKNOWN_ID, "DELETE"),)),
    "id of 5,000 digits": (
        f'[{{"op":"DELETE","id":1{"0" * 5000}}}]',
        (rejected(R.UNKNOWN_ID, "DELETE"),),
    ),
    "id of 5,000 digits as text": (
        f'[{{"op":"DELETE","id":"1{"0" * 5000}"}}]',
        (rejected(R.UNKNOWN_ID, "DELETE"),),
    ),
    "two SKIPs": ('[{"op":"SKIP"},{"op":"NOOP"}]', (rejected(R.SKIP_NOT_ALONE, "SKIP"),) * 2),
    "broken string": ('[{"op":"INSERT","content":"x', (MALFORMED,)),
    "broken object": ('{"op"', (MALFORMED,)),
    "Python's quotes": ("[{'op': 'SKIP'}]", (MALFORMED,)),
    "unquoted keys": ("[{op: SKIP}]", (MALFORMED,)),
    "bad escape": (r'[{"op":"INSERT","content":"\d"}]', (MALFORMED,)),
    "trailing comma in an object": ('[{"op":"SKIP",}]', (MALFORMED,)),
    "a key twice": ('[{"op":"SKIP","op":"SKIP"}]', (MALFORMED,)),
    "a key twice in arguments": (
        '{"name":"DELETE","arguments":{"id":1,"id":2}}',
        (rejected(R.MALFORMED, "DELETE"),),
    ),
    "a key twice in a function": ('{"function":{"name":"SKIP","name":"SKIP"}}', (MALFORMED,)),
    "broken arguments as text": (
        json.dumps([openai("DELETE", '{"id": ')]),
        (rejected(R.MALFORMED, "DELETE"),),
    ),
    "Qwen arguments that are no object": (
        "✿FUNCTION✿: DELETE\n✿ARGS✿: two",
        (rejected(R.MALFORMED, "DELETE"),),
    ),
    "nested too deep": ('{"op":"INSERT","content":' + "[" * 9999 + "]" * 9999 + "}", (MALFORMED,)),
}


@pytest.mark.parametrize("name", list(DIALECTS))
def test_dialect(name: str) -> None:
    text, expected = DIALECTS[name]
    assert parse(text) == expected


@pytest.mark.parametrize("name", list(REJECTIONS))
def test_rejection(name: str) -> None:
    text, expected = REJECTIONS[name]
    assert parse(text) == expected


def test_rejection_table_is_complete() -> None:
    """The others depend on the memory and are in test_memory."""
    covered = {result.reason for _, results in REJECTIONS.values() for result in results}
    assert covered == {
        R.NO_OPERATION,
        R.UNKNOWN_OPERATION,
        R.MISSING_FIELD,
        R.WRONG_TYPE,
        R.EMPTY_CONTENT,
        R.UNKNOWN_ID,
        R.SKIP_NOT_ALONE,
        R.MALFORMED,
        R.ACTION_TOO_LONG,
    }


@pytest.mark.parametrize(
    "beside",
    [INSERT_JSON, DELETE_JSON, BROKEN_JSON, "{}", '{"op":"MERGE"}'],
)
def test_skip_beside_anything_is_rejected_and_the_rest_stands(beside: str) -> None:
    alone = parse(f"[{beside}")
    assert parse(f'[{{"op":"SKIP"}},{beside}') == (rejected(R.SKIP_NOT_ALONE, "SKIP"), *alone)


@pytest.mark.parametrize("wrapper", ["%s", '{"operations":%s}', "<think>a</think>```json\n%s\n```"])
def test_every_cut_keeps_the_complete_operations(wrapper: str) -> None:
    """Cut at each character: what is complete counts, and what is broken counts once."""
    text = wrapper % CANONICAL
    ends = [text.index(one) + len(one) for one in (INSERT_JSON, UPDATE_JSON, DELETE_JSON)]
    starts = [text.index(one) for one in (INSERT_JSON, UPDATE_JSON, DELETE_JSON)]
    for cut in range(starts[0] + 5, len(text) + 1):
        complete = sum(end <= cut for end in ends)
        broken = any(start + 5 <= cut < end for start, end in zip(starts, ends, strict=True))
        parsed = parse(text[:cut])
        assert parsed[:complete] == ALL[:complete]
        if broken:
            assert parsed[complete:] == (MALFORMED,)


@pytest.mark.parametrize(
    "content", ["\ud800", "a\udfffb", "\ud800\udc00", "x" * 100 + "\udc00", "\udfff é"]
)
@pytest.mark.parametrize("escaped", [False, True])
def test_lone_surrogates_are_replaced(content: str, escaped: bool) -> None:
    text = json.dumps([{"op": "INSERT", "content": content}], ensure_ascii=escaped)
    (operation,) = parse(text)
    assert isinstance(operation, Operation)
    assert operation.content is not None
    encoded = operation.content.encode()
    assert "\ufffd".encode() in encoded or content == "\ud800\udc00"
    assert not any("\ud800" <= mark <= "\udfff" for mark in operation.content)


contents = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: not is_blank(text)
)
ids = st.integers(0, 10**18 - 1)
stores = st.sampled_from([None, "flat", "memory", "semantic", "episodic"])
edits = st.one_of(
    st.builds(Operation, st.just(Op.INSERT), contents, st.none(), stores),
    st.builds(Operation, st.just(Op.UPDATE), contents, ids, stores),
    st.builds(Operation, st.just(Op.DELETE), st.none(), ids, stores),
)
emitted = st.one_of(st.lists(edits, min_size=1, max_size=8), st.just([SKIP]))


@given(emitted)
def test_parse_inverts_render(operations: list[Operation]) -> None:
    assert parse(render(operations)) == tuple(operations)


@given(emitted, st.sampled_from(["```json\n%s\n```", "<think>a [</think>%s", "Well: %s\n[1]"]))
def test_what_stands_around_changes_nothing(operations: list[Operation], around: str) -> None:
    assert parse(around.replace("%s", render(operations))) == tuple(operations)


@given(emitted)
def test_render_gives_one_json_list(operations: list[Operation]) -> None:
    records = json.loads(render(operations))
    assert [record["op"] for record in records] == [operation.op.value for operation in operations]
    assert all(isinstance(value, str) for record in records for value in record.values())


def test_canonical_form() -> None:
    assert render(ALL) == CANONICAL
    assert render([SKIP]) == '[{"op":"SKIP"}]'
    assert parse(render([])) == NOTHING


# What the published code calls a success: the text that its tools return holds this phrase, the
# name that the model chose included; deleting and emptying are never checked.
SUCCESS = "executed successfully"


def published_format_reward(action: str) -> float:
    calls = json.loads(action)
    known = {"new_memory_insert", "memory_update", "memory_delete"}
    replies = [
        f"[tool {one['name']} {SUCCESS}]"
        if one["name"] in known
        else f"[tool {one['name']} error] unknown tool {one['name']}"
        for one in calls
    ]
    return sum(SUCCESS in reply for reply in replies) / len(replies)


def our_format_reward(parsed: Sequence[Parsed]) -> float:
    accepted = sum(isinstance(entry, Operation) for entry in parsed)
    return format_reward(StepOutcome(len(parsed), accepted, 0))


@pytest.mark.parametrize(
    "calls",
    [
        [{"name": SUCCESS, "arguments": {}}],
        [{"name": "new_memory_insert", "arguments": {"content": ""}}] * 3,
        [{"name": "new_memory_insert", "arguments": {"content": "\u200b \u2060"}}],
        [{"name": "memory_delete", "arguments": {"memory_id": "zzzz"}}],
    ],
    ids=["named like the success message", "empty inserts", "invisible inserts", "unknown id"],
)
def test_format_exploits_of_the_published_rule(calls: list[dict[str, object]]) -> None:
    action = json.dumps(calls)
    assert published_format_reward(action) == 1.0
    assert our_format_reward(parse(action)) == 0.0


def test_padding_with_skips_does_not_dilute_a_rejection() -> None:
    """If each SKIP were accepted, nine of them would lift a broken reply from 0 to .9."""
    padded = [{"op": "DELETE", "id": "none"}, *[{"op": "SKIP"}] * 9]
    naive = sum(record["op"] == "SKIP" for record in padded) / len(padded)
    assert naive == 0.9
    assert our_format_reward(parse(json.dumps(padded))) == 0.0
    assert our_format_reward(parse(json.dumps(padded[1:]))) == 0.0
    assert our_format_reward(parse(json.dumps(padded[1:2]))) == 1.0

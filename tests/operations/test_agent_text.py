"""Whatever an agent writes: no exception, at least one result, a reason for each rejection.

3,000 generated replies go through one memory after the other, and replies made to be slow go
through whole. A reply that took quadratic time would take many minutes here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from finemem_env.memory import Memory
from finemem_env.operations import MAX_ACTION_CHARS, parse
from finemem_env.text import approx_tokens, normalise, sentence_key, split_sentences
from finemem_env.types import Operation, OperationResult, RejectReason

T = TypeVar("T")

REPLIES = 3_000
STEPS = 200  # replies to one memory
MEGABYTE = 1_000_000

FRAGMENTS = (
    *"[]{},:\"'\\ \n",
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "```json\n", "\n```", "[TOOL_CALLS]"),
    *("✿FUNCTION✿: ", "\n✿ARGS✿: ", "✿RESULT✿", "✿"),
    *('"op":', '"name":', '"arguments":', '"parameters":', '"function":', '"operations":['),
    *('"tool_calls":[', '"content":', '"id":', '"memory_id":', '"store":', '"new_content":'),
    *('"INSERT"', '"update"', '"DELETE"', '"SKIP"', '"noop"', '"new_memory_insert"', '"merge"'),
    *("null", "true", "NaN", "-Infinity", "1e999", "-3", "2", '"2"', "0" * 5000, "9" * 40),
    *('"Mara lives in Osta."', '"\\ud800"', '"\\u0000"', '"\ud800"', '""', '" "', "\\u12"),
    *('{"op":"SKIP"}', '{"op":"INSERT","content":"', '{"op":"DELETE","id":1}', "word "),
)
NAMES = (
    "INSERT",
    "insert",
    "Add",
    "UPDATE",
    "DELETE",
    "SKIP",
    "NOOP",
    "MERGE",
    "",
    "memory_update",
)
CONTENTS = (
    "Mara lives in Osta.",
    "mara lives in osta!",
    "",
    "\u200b",
    "\ud800 lone",
    "The gate is shut. It was open.",
    "word " * 30,
    "日本語。です",
    "a\u0301\u0316" * 50,
    None,
    7,
    ["x"],
    {"a": 1},
)
IDS = (1, 2, "3", "abc", -1, 10**40, True, 2.5, None, [1], "²", " 4 ")
STORES = (None, None, None, "flat", "semantic_memory", 3)


class Writer:
    """Replies as models write them, and as nobody would; all from one generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, options: tuple[T, ...]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def reply(self) -> str:
        return self.pick(
            (
                self.unicode,
                self.soup,
                self.soup,
                self.records,
                self.records,
                self.mutated,
                self.deep,
            )
        )()

    def unicode(self) -> str:
        high = self.pick((0x80, 0x3000, 0x10000, 0x110000))
        return "".join(map(chr, self.rng.integers(0, high, int(self.rng.integers(0, 80)))))

    def soup(self) -> str:
        return "".join(self.pick(FRAGMENTS) for _ in range(int(self.rng.integers(0, 25))))

    def record(self) -> dict[str, object]:
        made: dict[str, object] = {"op": self.pick(NAMES)}
        if self.rng.random() < 0.8:
            made["content"] = self.pick((*CONTENTS, f"Note {self.rng.integers(1000)}."))
        if self.rng.random() < 0.7:
            made["id"] = self.pick(IDS)
        if self.rng.random() < 0.2:
            made["store"] = self.pick(STORES)
        return made

    def records(self) -> str:
        records = [self.record() for _ in range(int(self.rng.integers(0, 7)))]
        calls = [{"name": one.pop("op"), "arguments": one} for one in map(dict, records)]
        wide = bool(self.rng.random() < 0.5)

        def dump(value: object) -> str:
            return json.dumps(value, ensure_ascii=wide)

        forms: tuple[Callable[[], str], ...] = (
            lambda: dump(records),
            lambda: dump({"operations": records}),
            lambda: f"<think>Hm {dump(records)}</think>\n```json\n{dump(records)}\n```",
            lambda: "\n".join(f"<tool_call>\n{dump(one)}\n</tool_call>" for one in calls),
            lambda: dump({"tool_calls": [{"function": one} for one in calls]}),
            lambda: "\n".join(
                f"✿FUNCTION✿: {one['name']}\n✿ARGS✿: {dump(one['arguments'])}" for one in calls
            ),
        )
        return self.pick(forms)()

    def mutated(self) -> str:
        text = list(self.records())
        for _ in range(int(self.rng.integers(1, 6))):
            at = int(self.rng.integers(0, len(text) + 1))
            change = self.rng.random()
            if change < 0.4:
                text[at : at + 1] = []
            elif change < 0.8:
                text.insert(at, self.pick(FRAGMENTS))
            else:
                del text[at:]
        return "".join(text)

    def deep(self) -> str:
        opening = self.pick(
            ("[", '{"a":', '{"a":[', '[{"operations":', '{"op":"INSERT","content":[')
        )
        depth = int(10 ** self.rng.uniform(0, 3.3))
        closing = "".join({"[": "]", "{": "}"}.get(mark, "") for mark in reversed(opening))
        return (
            opening * depth
            + self.pick(('{"op":"SKIP"}', "1", ""))
            + closing * (depth if self.rng.random() < 0.5 else depth // 2)
        )


def check(memory: Memory, step: int, reply: str) -> tuple[OperationResult, ...]:
    """One step of a memory, and everything that must hold after it."""
    before = memory.items()
    parsed = parse(reply)
    assert len(parsed) >= 1
    assert all(isinstance(entry, Operation) or entry.reason is not None for entry in parsed)
    change = memory.apply(step, parsed)
    assert len(change.results) == len(parsed)
    for result in change.results:
        assert result.accepted == (result.reason is None)
        assert isinstance(result.reason, RejectReason | None)
        assert len(result.name.encode()) <= 4 * 32
    accepted = [one for one in change.results if one.accepted and one.name != "SKIP"]
    assert accepted or memory.items() == before
    items = memory.items()
    assert (
        memory.tokens
        == sum(approx_tokens(item.content) for item in items)
        <= (memory.budget or memory.tokens)
    )
    assert len({normalise(item.content) for item in items}) == len(items)
    for item in change.added:
        assert item.content.encode().decode() == item.content
        assert item.step <= step
        assert {sentence.step for sentence in item.sentences} <= set(item.writers)
    json.dumps(memory.snapshot())
    return change.results


def test_generated_replies() -> None:
    writer = Writer(seed=20260108)
    seen: Counter[RejectReason | None] = Counter()
    for number in range(REPLIES):
        step = number % STEPS
        if step == 0:
            memory = Memory(
                count_tokens=approx_tokens, budget=40, max_item_tokens=25, max_operations=5
            )
        seen.update(result.reason for result in check(memory, step, writer.reply()))
    # These replies are too short for ACTION_TOO_LONG, and neither lines nor media have names.
    never = {
        RejectReason.ACTION_TOO_LONG,
        RejectReason.UNKNOWN_LINE,
        RejectReason.UNKNOWN_MEDIUM,
    }
    assert set(seen) == {*RejectReason, None} - never
    assert seen[None] > REPLIES // 20


def test_replies_of_a_megabyte() -> None:
    memory = Memory(count_tokens=approx_tokens)
    writer = Writer(seed=1)
    for step in range(20):
        unit = writer.reply() or " "
        reply = unit * (MEGABYTE // len(unit) + 1)
        (result,) = check(memory, step, reply)
        assert result.reason is RejectReason.ACTION_TOO_LONG


INSERT = '{"op":"INSERT","content":"x"}'
START = '[{"op":"INSERT","content":"'


def fill(unit: str, size: int, head: str = "", tail: str = "") -> str:
    return head + (unit * (size // len(unit) + 1))[: size - len(head) - len(tail)] + tail


HOSTILE: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: fill("[", n),
    "braces": lambda n: fill("{", n),
    "nested objects": lambda n: fill('{"a":', n),
    "nested lists of objects": lambda n: fill('{"a":[', n),
    "nested lists of whole objects": lambda n: fill('{"a":[{},', n),
    "nested and closed": lambda n: '{"a":[' * (n // 9) + INSERT + "]}" * (n // 9),
    "nested, closed the wrong way": lambda n: '{"a":[' * (n // 9) + "}]" * (n // 9),
    "closed without an opening": lambda n: fill("}]", n),
    "broken objects": lambda n: fill('{"a"}', n),
    "objects in broken objects": lambda n: fill('{"a":[{"b":[}', n),
    "open strings": lambda n: fill('{"', n),
    "an open string": lambda n: fill("a", n, START),
    "escapes": lambda n: fill("\\n", n, START),
    "backslashes": lambda n: fill("\\", n, START),
    "operations": lambda n: fill(INSERT + ",", n, "["),
    "operations, cut off": lambda n: fill(INSERT + ",", n - 9, "[") + '{"op":"IN',
    "tool calls, cut off": lambda n: fill('<tool_call>{"a":[{', n),
    "thoughts": lambda n: fill("<think></think>", n),
    "open thoughts": lambda n: fill("<think>", n),
    "ends of thoughts": lambda n: fill("{}</think>", n),
    "text protocol": lambda n: fill("✿FUNCTION✿: a\n✿ARGS✿: {", n),
    "text protocol, spaces": lambda n: fill(" ", n, "✿FUNCTION✿: a\n✿ARGS✿"),
    "braces and spaces": lambda n: fill("{" + " " * 99, n),
    "braces and words": lambda n: fill("{" + "a" * 99, n, "{x}"),
    "a brace and spaces": lambda n: fill(" ", n, "{"),
    "digits": lambda n: fill("9", n, '[{"op":"DELETE","id":', "}]"),
    "a fraction": lambda n: fill("9", n, '[{"op":"DELETE","id":0.', "}]"),
    "an exponent": lambda n: fill("9", n, '[{"op":"DELETE","id":1e', "}]"),
    "digits in a text": lambda n: fill("9", n, '[{"op":"DELETE","id":"', '"}]'),
    "keys": lambda n: fill('"k":1,', n, "{"),
    "arguments": lambda n: fill("[", n, '{"name":"INSERT","arguments":"', '"}'),
    "a name": lambda n: fill("n", n, '[{"op":"', '"}]'),
}
# What contents are made of.
CONTENT = {
    "words": "word ",
    "one word": "q",
    "initials": "A. ",
    "abbreviations": "Mr. ",
    "stops": ". ",
    "stops and quotes": ".’ ",
    "ideographic stops": "。」",
    "lines": "q\n",
    "labels": "label: ",
    "arrows": "-> ",
    "spaces": " ",
    "invisible": "\u200b",
    "lone surrogates": "\ud800",
    "marks in falling order": "\u0301\u0316",
    "half-width marks": "\uff9e\u0316",
    "long decompositions": "\ufdfa",
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_reading_is_linear(name: str) -> None:
    memory = Memory(count_tokens=approx_tokens)
    reply = HOSTILE[name](MAX_ACTION_CHARS - 10)
    assert RejectReason.ACTION_TOO_LONG not in {one.reason for one in check(memory, 0, reply)}


@pytest.mark.parametrize("name", list(CONTENT))
def test_writing_is_linear(name: str) -> None:
    """An item of some pages, inserted, rewritten and deleted without any limit."""
    size = MAX_ACTION_CHARS // 8
    memory = Memory(count_tokens=approx_tokens)
    check(memory, 0, fill(CONTENT[name], size, START + "q", 'q"}]'))
    check(memory, 1, fill(CONTENT[name], size, '[{"op":"UPDATE","id":1,"content":"z', 'z"}]'))
    assert len(memory) == 1
    check(memory, 2, '[{"op":"DELETE","id":1}]')
    assert len(memory) == 0


def test_many_removals_and_many_sentences() -> None:
    """Each new sentence is looked for in all that the step removed; that search is bounded."""
    memory = Memory(count_tokens=approx_tokens)
    items = [{"op": "INSERT", "content": f"item {n} " + "word " * 40} for n in range(1000)]
    for start in range(0, 1000, 100):
        check(memory, 0, json.dumps(items[start : start + 100]))
    removals = [{"op": "DELETE", "id": n} for n in range(1, 1001)]
    lines = "\n".join(f"line {n}" for n in range(10_000))
    check(memory, 1, json.dumps([*removals, {"op": "INSERT", "content": lines}]))
    assert len(memory) == 1


@pytest.mark.parametrize("unit", list(CONTENT.values()))
def test_text_functions_take_hostile_text(unit: str) -> None:
    text = unit * (MAX_ACTION_CHARS // 4 // len(unit))
    assert approx_tokens(text) >= 0
    assert isinstance(normalise(text), str)
    assert isinstance(sentence_key(text), str)
    assert isinstance(split_sentences(text), tuple)

"""The memory: what each operation does, every rejection, provenance, and what always holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import FrameType
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finemem_env.errors import DataError
from finemem_env.memory import Change, Item, Memory, Sentence
from finemem_env.memory.items import MemorySnapshot
from finemem_env.memory.provenance import Provenance
from finemem_env.rewards import FinalOutcome, ShownItem
from finemem_env.rewards.attribution import shares
from finemem_env.text import approx_tokens, normalise, sentence_key, split_sentences
from finemem_env.types import Op, Operation, OperationResult, RejectReason

R = RejectReason
SKIP = Operation(Op.SKIP)
MALFORMED = OperationResult("", R.MALFORMED)

SKY = "The sky is blue."
SEA = "The sea is deep."
BOTH = f"{SKY} {SEA}"


def insert(content: str | None, store: str | None = None) -> Operation:
    return Operation(Op.INSERT, content=content, store=store)


def update(item_id: int | None, content: str | None, store: str | None = None) -> Operation:
    return Operation(Op.UPDATE, content=content, item_id=item_id, store=store)


def delete(item_id: int | None, store: str | None = None) -> Operation:
    return Operation(Op.DELETE, item_id=item_id, store=store)


def memory(
    *steps: Sequence[Operation],
    budget: int | None = None,
    max_item_tokens: int | None = None,
    max_operations: int | None = None,
) -> Memory:
    """A memory after `steps`, one list of operations each."""
    made = Memory(
        count_tokens=approx_tokens,
        budget=budget,
        max_item_tokens=max_item_tokens,
        max_operations=max_operations,
    )
    for step, operations in enumerate(steps):
        assert all(result.accepted for result in made.apply(step, operations).results)
    return made


def steps_of(made: Memory, item_id: int) -> list[int]:
    item = made.get(item_id)
    assert item is not None
    return [sentence.step for sentence in item.sentences]


def reasons(change: Change) -> list[RejectReason | None]:
    return [result.reason for result in change.results]


def test_insert() -> None:
    made = memory()
    change = made.apply(4, [insert(BOTH), insert("Third.")])
    first = Item(1, BOTH, 4, (4,), (Sentence(SKY, 4), Sentence(SEA, 4)), approx_tokens(BOTH))
    assert made.get(1) == first
    assert change.results == (
        OperationResult("INSERT", item_id=1),
        OperationResult("INSERT", item_id=2),
    )
    assert change.removed == ()
    assert change.added == made.items()
    assert [item.id for item in made.items()] == [1, 2]
    assert (len(made), made.tokens) == (2, approx_tokens(BOTH) + approx_tokens("Third."))


def test_update_keeps_id_place_and_earlier_sentences() -> None:
    made = memory([insert(SKY), insert("Second.")])
    old = made.get(1)
    change = made.apply(3, [update(1, BOTH)])
    new = made.get(1)
    assert new == Item(1, BOTH, 3, (0, 3), (Sentence(SKY, 0), Sentence(SEA, 3)), 10)
    assert (change.removed, change.added) == ((old,), (new,))
    assert change.results == (OperationResult("UPDATE", item_id=1),)
    assert [item.id for item in made.items()] == [1, 2]


def test_step_is_that_of_text_still_there_and_writers_remember() -> None:
    made = memory([insert(SKY)], [update(1, BOTH)], [update(1, SKY)])
    item = made.get(1)
    assert item is not None
    assert (item.step, item.writers) == (0, (0, 1))


def test_delete_frees_tokens_but_never_the_id() -> None:
    made = memory([insert(SKY)])
    old = made.get(1)
    change = made.apply(1, [delete(1), insert(SEA)])
    assert (change.removed, change.added) == ((old,), made.items())
    assert made.get(1) is None
    assert [item.id for item in made.items()] == [2]


def test_skip_is_accepted_and_changes_nothing() -> None:
    made = memory([insert(SKY)])
    before = made.snapshot()
    assert made.apply(1, [SKIP]) == Change((), (), (OperationResult("SKIP"),))
    assert made.snapshot() == before


def test_rejections_pass_through_in_place() -> None:
    made = memory()
    change = made.apply(0, [MALFORMED, insert(SKY), MALFORMED])
    assert change.results == (MALFORMED, OperationResult("INSERT", item_id=1), MALFORMED)


def test_operations_apply_in_order() -> None:
    made = memory(budget=approx_tokens(SKY))
    change = made.apply(0, [insert(SKY), insert(SEA), delete(1), insert(SEA), update(2, SKY)])
    assert reasons(change) == [None, R.MEMORY_FULL, None, None, None]
    assert [item.content for item in made.items()] == [SKY]
    assert (change.removed, change.added) == ((), made.items())


@pytest.mark.parametrize(
    "operations",
    [
        [insert(SEA), delete(2)],
        [update(1, SEA), update(1, SKY)],
        [insert(SEA), update(2, "Third."), delete(2)],
    ],
)
def test_what_a_step_takes_back_is_no_change(operations: list[Operation]) -> None:
    made = memory([insert(SKY)])
    change = made.apply(1, operations)
    assert (change.removed, change.added) == ((), ())
    assert made.items() == memory([insert(SKY)]).items()


def test_change_is_net() -> None:
    made = memory([insert(SKY), insert(SEA)])
    first, second = made.items()
    change = made.apply(1, [update(1, "Third."), update(1, "Fourth."), delete(2), insert("Fifth.")])
    assert change.removed == (first, second)
    assert [item.content for item in change.added] == ["Fourth.", "Fifth."]


REJECTIONS: dict[str, tuple[Operation, OperationResult]] = {
    "update of an unknown id": (update(9, "New."), OperationResult("UPDATE", R.UNKNOWN_ID)),
    "update of a deleted id": (update(3, "New."), OperationResult("UPDATE", R.UNKNOWN_ID)),
    "update without an id": (update(None, "New."), OperationResult("UPDATE", R.UNKNOWN_ID)),
    "delete of an unknown id": (delete(9), OperationResult("DELETE", R.UNKNOWN_ID)),
    "delete of a deleted id": (delete(3), OperationResult("DELETE", R.UNKNOWN_ID)),
    "insert of an item": (insert(SKY), OperationResult("INSERT", R.EXACT_DUPLICATE)),
    "insert of an item, other case and spaces": (
        insert("  THE sky\n is  blue. "),
        OperationResult("INSERT", R.EXACT_DUPLICATE),
    ),
    "insert of an item, other code points": (
        insert("The ｓｋｙ is\u00a0blue\u200b."),
        OperationResult("INSERT", R.EXACT_DUPLICATE),
    ),
    "update to another item": (update(1, SEA), OperationResult("UPDATE", R.EXACT_DUPLICATE, 1)),
    "update to itself": (update(1, SKY), OperationResult("UPDATE", R.NO_CHANGE, 1)),
    "update of case and pauses": (
        update(1, '"The sky, is BLUE!"'),
        OperationResult("UPDATE", R.NO_CHANGE, 1),
    ),
    "update with a full stop inside": (
        update(1, "The sky. Is blue"),
        OperationResult("UPDATE", R.NO_CHANGE, 1),
    ),
    "update with a line of marks": (
        update(1, SKY + "\n!"),
        OperationResult("UPDATE", R.NO_CHANGE, 1),
    ),
    "insert too long": (insert("a " * 21), OperationResult("INSERT", R.CONTENT_TOO_LONG)),
    "update too long": (update(1, "a " * 21), OperationResult("UPDATE", R.CONTENT_TOO_LONG, 1)),
    "insert past the budget": (insert("a " * 18), OperationResult("INSERT", R.MEMORY_FULL)),
    "update past the budget": (
        update(1, "a " * 18),
        OperationResult("UPDATE", R.MEMORY_FULL, 1),
    ),
    "insert of nothing": (insert("\u200b "), OperationResult("INSERT", R.EMPTY_CONTENT)),
    "insert without content": (insert(None), OperationResult("INSERT", R.EMPTY_CONTENT)),
    "update to nothing": (update(1, " "), OperationResult("UPDATE", R.EMPTY_CONTENT, 1)),
    "insert into an unknown store": (
        insert("New.", "semantic"),
        OperationResult("INSERT", R.UNKNOWN_STORE),
    ),
    "update in an unknown store": (
        update(None, "New.", "core"),
        OperationResult("UPDATE", R.UNKNOWN_STORE),
    ),
    "delete in an unknown store": (delete(1, "x"), OperationResult("DELETE", R.UNKNOWN_STORE)),
}


@pytest.mark.parametrize("name", list(REJECTIONS))
def test_rejection(name: str) -> None:
    operation, expected = REJECTIONS[name]
    made = memory([insert(SKY), insert(SEA), insert("x")], [delete(3)], max_item_tokens=20)
    made.budget = 20
    before = made.snapshot()
    assert made.apply(2, [operation]) == Change((), (), (expected,))
    assert made.snapshot() == before


def test_rejection_table_is_complete() -> None:
    """With TOO_MANY_OPERATIONS below, every reason that parsing cannot give."""
    assert {result.reason for _, result in REJECTIONS.values()} == {
        R.UNKNOWN_ID,
        R.EXACT_DUPLICATE,
        R.NO_CHANGE,
        R.CONTENT_TOO_LONG,
        R.MEMORY_FULL,
        R.EMPTY_CONTENT,
        R.UNKNOWN_STORE,
    }


def test_too_many_operations() -> None:
    made = memory(max_operations=3)
    change = made.apply(0, [insert("A."), MALFORMED, insert("B."), insert("C."), MALFORMED])
    assert reasons(change) == [None, R.MALFORMED, None, R.TOO_MANY_OPERATIONS, R.MALFORMED]
    assert len(made) == 2


@pytest.mark.parametrize("store", [None, "flat", "memory"])
def test_a_flat_memory_goes_by_these_names(store: str | None) -> None:
    made = memory([insert(SKY, store)], [update(1, SEA, store)], [delete(1, store)])
    assert len(made) == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Balance: 5", "Balance: -5"),
        ("Grade A", "Grade A+"),
        ("She knows C.", "She knows C++."),
        ("It costs $5.", "It costs €5."),
        ("They won 2:1.", "They won 2.1."),
        ("Pi is 3.1", "Pi is 31"),
    ],
)
def test_signs_that_carry_meaning_are_a_change(old: str, new: str) -> None:
    made = memory([insert(old)])
    assert reasons(made.apply(1, [update(1, new)])) == [None]
    assert made.items()[0].content == new


def test_memory_over_its_budget_may_only_shrink() -> None:
    made = memory([insert("one two three four five six"), insert("seven eight")])
    made.budget = 2
    assert reasons(made.apply(1, [update(2, "seven eight nine")])) == [R.MEMORY_FULL]
    assert reasons(made.apply(2, [update(1, "one two three"), delete(2)])) == [None, None]
    assert made.tokens == 4


# Provenance.


def test_copied_sentence_keeps_its_step() -> None:
    made = memory([insert(SKY)], [insert(f"Copied: x. {SKY}")])
    assert steps_of(made, 2) == [1, 0]
    assert made.items()[1].writers == (0, 1)


def test_copy_keeps_the_step_when_the_original_goes() -> None:
    made = memory([insert(BOTH)], [insert(f"{SEA} Third.")], [delete(1)], [insert(SEA)])
    assert steps_of(made, 2) == [0, 1]
    assert steps_of(made, 3) == [0]


def test_text_forgotten_in_an_earlier_step_is_new() -> None:
    made = memory([insert(SKY)], [delete(1)], [insert(SKY)])
    assert steps_of(made, 2) == [2]


def test_reworded_text_is_new() -> None:
    made = memory([insert(SKY)], [update(1, "The sky is very blue.")])
    assert steps_of(made, 1) == [1]


def test_copy_of_an_untouched_item_with_a_stop_taken_out_counts_as_reworded() -> None:
    made = memory([insert(BOTH)], [insert("The sky is blue the sea is deep")])
    assert steps_of(made, 2) == [1]


def test_words_of_two_removed_items_are_no_run() -> None:
    made = memory([insert("Ann met Bob."), insert("Cid met Dan.")])
    made.apply(1, [delete(1), delete(2), insert("Bob. Cid.\nBob Cid\nmet Dan")])
    assert steps_of(made, 3) == [0, 0, 1, 0]


def test_text_of_other_scripts_keeps_its_letters() -> None:
    made = memory([insert("Том живёт в Осте.")])
    made.apply(1, [update(1, "Том живёт в Осле.")])
    assert steps_of(made, 1) == [1]


def test_moved_stops_take_the_earliest_step_they_cover() -> None:
    made = memory([insert(SKY)], [update(1, BOTH)], [update(1, f"{BOTH} Third one.")])
    made.apply(3, [update(1, "The sky is blue the sea. Is deep third. One. Fourth.")])
    assert steps_of(made, 1) == [0, 1, 2, 3]


THEFTS: dict[str, list[Operation]] = {
    "rewritten": [update(1, "the sky, is BLUE. The sea is deep!")],
    "rewritten with signs": [update(1, "*The sky is blue.* - The sea is deep.")],
    "rewritten in other code points": [
        update(1, "The ｓky is blue.\nThe s\u200bea\ufe0f is deep?")
    ],
    "rewritten with separators": [update(1, "T\x1fhe sky is bl\x1cue. The s\x85ea is deep!")],
    "rewritten for private use": [
        update(1, "T\ue000he sky is blue.\nThe sea\uffff is d\ufffceep?")
    ],
    "rewritten in Cyrillic and Greek": [update(1, "Тhe sky is bluе. Τhe sеа is deep.")],
    "rewritten in Armenian": [insert("Tհe sky iѕ blue. The seɑ is deep"), delete(1)],
    "stop taken out": [update(1, "The sky is blue - the sea is deep.")],
    "stops put in": [update(1, "The sky. *Is blue. The sea. Is deep.")],
    "shortened": [update(1, "sky is blue - the sea")],
    "other order": [update(1, f"{SEA} {SKY}")],
    "there and back": [update(1, "Junk."), update(1, BOTH)],
    "deleted and inserted": [delete(1), insert(BOTH)],
    "deleted and inserted, stop taken out": [delete(1), insert("The sky is blue the sea is deep")],
    "inserted, stop taken out, and deleted": [insert("The sky is blue the sea is deep"), delete(1)],
    "deleted and inserted in parts": [delete(1), insert(SEA), insert(SKY)],
    "inserted in parts, then deleted": [insert(SEA), insert(SKY), delete(1)],
    "updated away, then inserted": [update(1, "Junk."), insert(BOTH), delete(1)],
}


@pytest.mark.parametrize("name", list(THEFTS))
@pytest.mark.parametrize("attribution", get_args(str))
def test_thefts_of_provenance_gain_nothing(name: str, attribution: str) -> None:
    """Step 5 writes again what step 0 brought. Naively each write anchors its item: gain 1."""
    made = memory([insert(BOTH)])
    made.apply(5, THEFTS[name])
    shown = made.items()

    def gain(anchored: Iterable[ShownItem]) -> float:
        items = tuple(anchored)
        outcome = FinalOutcome(1.0, items, without=(0.0,) * len(items))
        return shares(outcome, attribution, 6)[5]

    naive = (ShownItem(5, (5,), (5,) * len(item.sentences)) for item in shown)
    ours = (ShownItem(item.step, item.writers, tuple(steps_of(made, item.id))) for item in shown)
    assert gain(naive) == pytest.approx(1.0)
    assert gain(ours) == 0.0


def test_a_step_that_searches_too_much_counts_as_rewriting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for moved text is bounded; past the bound, doubt counts against the agent."""
    monkeypatch.setattr("finemem_env.memory.provenance._SEARCH_CHARS", 1000)
    made = memory([insert(BOTH)])
    made.apply(1, [update(1, "\n".join(f"new {n}" for n in range(50)))])
    assert steps_of(made, 1)[:5] == [1] * 5
    assert steps_of(made, 1)[-5:] == [0] * 5


# What always holds.

VOCABULARY = ("ann", "bob", "met", "Cid", "5", "日", "é", "!")
texts = st.lists(
    st.tuples(
        st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join),
        st.sampled_from([". ", "\n", " ", "。"]),
    ),
    min_size=1,
    max_size=4,
).map(lambda parts: "".join(words + end for words, end in parts))
known_ids = st.integers(0, 12)
entries = st.one_of(
    st.builds(insert, texts),
    st.builds(update, known_ids, texts),
    st.builds(delete, known_ids),
    st.builds(insert, texts, st.sampled_from(["flat", "semantic"])),
    st.just(MALFORMED),
)
replies = st.one_of(st.lists(entries, min_size=1, max_size=6), st.just([SKIP]))
limits = st.fixed_dictionaries(
    {
        "budget": st.one_of(st.none(), st.integers(1, 60)),
        "max_item_tokens": st.one_of(st.none(), st.integers(1, 20)),
        "max_operations": st.one_of(st.none(), st.integers(1, 5)),
    }
)
Entries = list[Operation | OperationResult]


def check_invariants(made: Memory, max_item_tokens: int | None) -> None:
    items = made.items()
    assert made.tokens == sum(item.tokens for item in items)
    assert made.budget is None or made.tokens <= made.budget
    assert len(made) == len(items) == len({normalise(item.content) for item in items})
    assert [item.id for item in items] == sorted({item.id for item in items})
    by_key: dict[str, set[int]] = {}
    for item in items:
        assert made.get(item.id) is item
        assert item.tokens == approx_tokens(item.content)
        assert max_item_tokens is None or item.tokens <= max_item_tokens
        assert tuple(sentence.text for sentence in item.sentences) == split_sentences(item.content)
        steps = {sentence.step for sentence in item.sentences}
        assert item.step == max(steps)
        assert steps <= set(item.writers)
        assert list(item.writers) == sorted(set(item.writers))
        for sentence in item.sentences:
            by_key.setdefault(sentence_key(sentence.text), set()).add(sentence.step)
    assert all(len(steps) == 1 for steps in by_key.values())


def check_change(change: Change, before: Sequence[Item], after: Sequence[Item], step: int) -> None:
    old, new = {item.id: item for item in before}, {item.id: item for item in after}
    touched = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    assert {item.id for item in change.removed} == touched & old.keys()
    assert {item.id for item in change.added} == touched & new.keys()
    assert all(old[item.id] is item for item in change.removed)
    assert all(new[item.id] is item for item in change.added)
    present = {sentence_key(s.text): s.step for item in before for s in item.sentences}
    for item in change.added:
        for sentence in item.sentences:
            key = sentence_key(sentence.text)
            assert sentence.step <= step
            assert key not in present or sentence.step == present[key]


@given(limits, st.lists(replies, max_size=8))
def test_any_operations_keep_the_invariants(
    given_limits: dict[str, int | None], steps: list[Entries]
) -> None:
    made = Memory(count_tokens=approx_tokens, **given_limits)
    highest = 0
    for step, reply in enumerate(steps):
        before = made.items()
        change = made.apply(step, reply)
        assert len(change.results) == len(reply)
        for entry, result in zip(reply, change.results, strict=True):
            assert result is entry or result.name == getattr(entry, "op", None)
        check_invariants(made, given_limits["max_item_tokens"])
        check_change(change, before, made.items(), step)
        made_now = [r.item_id for r in change.results if r.accepted and r.name == "INSERT"]
        assert all(item_id is not None and item_id > highest for item_id in made_now)
        highest = max([highest, *(item_id for item_id in made_now if item_id is not None)])


@given(limits, st.lists(replies, max_size=6), st.lists(replies, max_size=4))
def test_snapshot_and_restore_are_exact(
    given_limits: dict[str, int | None], first: list[Entries], then: list[Entries]
) -> None:
    made = Memory(count_tokens=approx_tokens, **given_limits)
    other = Memory(count_tokens=approx_tokens, **given_limits)
    other.apply(0, [insert("Something else.")])
    for step, reply in enumerate(first):
        made.apply(step, reply)
    snapshot = made.snapshot()
    through_json: MemorySnapshot = json.loads(json.dumps(snapshot))
    other.restore(through_json)
    assert other.items() == made.items()
    assert (other.tokens, other.budget) == (made.tokens, made.budget)
    for step, reply in enumerate(then, start=len(first)):
        assert made.apply(step, reply) == other.apply(step, reply)
    made.restore(snapshot)
    assert json.dumps(made.snapshot()) == json.dumps(snapshot) == json.dumps(through_json)


@given(st.lists(replies, max_size=8))
def test_provenance_forgets_what_is_gone(steps: list[Entries]) -> None:
    made = Memory(count_tokens=approx_tokens)
    for step, reply in enumerate(steps):
        made.apply(step, reply)
    made.apply(len(steps), [delete(item.id) for item in made.items()])
    assert vars(made._provenance) == vars(Provenance())


@pytest.mark.parametrize(
    "snapshot",
    [
        {},
        {"next_id": 1, "items": []},
        {"next_id": 1, "budget": None, "items": [{}]},
        {"next_id": 1, "budget": None, "items": None},
        {
            "next_id": 3,
            "budget": None,
            "items": [{"id": 1, "content": "x", "writers": [0], "sentences": [], "tokens": 1}],
        },
        {
            "next_id": 1,
            "budget": None,
            "items": [
                {"id": 1, "content": "x", "writers": [0], "sentences": [["x", 0]], "tokens": 1}
            ],
        },
    ],
)
def test_restore_refuses_anything_else_and_changes_nothing(snapshot: MemorySnapshot) -> None:
    made = memory([insert(SKY)])
    before = made.snapshot()
    with pytest.raises(DataError, match="memory snapshot"):
        made.restore(snapshot)
    assert made.snapshot() == before


def count_calls(function: Callable[[], object]) -> int:
    """Python and C calls that `function` makes."""
    calls = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def _items(count: int) -> list[Operation]:
    return [insert(f"Item {n} is about the gate. It is open.") for n in range(count)]


def test_apply_costs_the_same_however_large_the_memory_is() -> None:
    operations = [
        insert("Mara lives in Osta. She is tall."),
        update(2, "Item 2 says that the gate is shut. Also this."),
        delete(3),
    ]
    costs = []
    for size in (10, 2000):
        made = memory(_items(size))
        memory(_items(10)).apply(1, operations)  # fills the caches of texts
        costs.append(count_calls(partial(made.apply, 1, operations)))
    assert costs[0] == costs[1]


@settings(max_examples=25)
@given(st.lists(texts, min_size=1, max_size=5))
def test_deleting_and_inserting_in_one_step_never_moves_credit(contents: list[str]) -> None:
    """Whatever the texts: after a step that only writes again, no sentence is newer than before."""
    made = Memory(count_tokens=approx_tokens)
    made.apply(0, [insert(content) for content in contents])
    kept = made.items()
    made.apply(1, [*(delete(item.id) for item in kept), *(insert(item.content) for item in kept)])
    assert [item.content for item in made.items()] == [item.content for item in kept]
    assert all(item.step == 0 and item.writers == (0,) for item in made.items())

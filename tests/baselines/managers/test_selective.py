from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from baselines.managers.selective import Selective
from baselines.managers.statements import statement_key
from finemem_env.operations import parse
from finemem_env.prompts import render_item
from finemem_env.prompts.observation import render_observation
from finemem_env.text import approx_tokens, parse_example
from finemem_env.types import Operation


def act(
    chunk: str,
    items: Sequence[tuple[int, str]] = (),
    budget: int | None = None,
    agent: Selective | None = None,
) -> list[tuple[str, int | None, str | None]]:
    observation = render_observation(
        chunk=chunk,
        chunk_index=0,
        num_chunks=4,
        time=None,
        lines=[render_item(item_id, text) for item_id, text in items],
        memory_items=len(items),
        memory_tokens=sum(approx_tokens(text) for _, text in items),
        budget=budget,
    )
    parsed = parse((agent or Selective()).act(observation, {}))
    assert all(isinstance(one, Operation) for one in parsed)
    return [(one.op.value, one.item_id, one.content) for one in parsed]  # type: ignore[union-attr]


CODE = "The locker code of Mara Velmor is {}."


def test_only_the_kinds_that_are_asked_are_stored() -> None:
    chunk = (
        f"Date: 2024-01-01.\nA cold wind from Osta blew over the roofs of Tasin all day. "
        f"{CODE.format('K1')} Rumour has it that the locker code of Mara Velmor is K2. "
        "The locker code of visitor Mara Velmir is K3."
    )
    assert act(chunk) == [("INSERT", None, CODE.format("K1"))]


def test_a_superseded_fact_is_updated_in_place() -> None:
    items = [(2, "Mara Velmor owns a boat named Osta."), (5, CODE.format("K1"))]
    assert act(CODE.format("K7"), items) == [("UPDATE", 5, CODE.format("K7"))]


def test_two_versions_in_one_chunk_leave_the_last() -> None:
    assert act(f"{CODE.format('K1')} {CODE.format('K2')}") == [("INSERT", None, CODE.format("K2"))]


def test_events_are_added_up() -> None:
    event = "Mara Velmor fed the goat at dawn."
    assert act(f"{event} {event}") == [("INSERT", None, "Tally: Mara Velmor fed the goat 2 times.")]
    items = [(4, "Tally: Mara Velmor fed the goat 2 times.")]
    assert act(event, items) == [("UPDATE", 4, "Tally: Mara Velmor fed the goat 3 times.")]


def test_labels_stay_level_within_a_share_of_the_room() -> None:
    lines = [f"text number {i} here label: {i % 2}" for i in range(0, 40, 2)]
    lines += ["one odd text label: 1", "another odd text label: 1"]
    operations = act("\n".join(lines), budget=200)
    kept = [parse_example(content or "") for _, _, content in operations]
    assert sum(approx_tokens(content or "") for _, _, content in operations) <= 50
    counts = Counter(example[1] for example in kept if example)
    assert counts["1"] == 2
    assert counts["0"] >= 2


def test_labels_seen_before_wait() -> None:
    items = [(i, f"old text {i} label: 0") for i in range(1, 4)]
    operations = act("new text a label: 0\nnew text b label: 1", items, budget=4 * 7 + 21)
    assert [content for _, _, content in operations] == ["new text b label: 1"]


def test_other_text_keeps_sentences_with_names_and_numbers() -> None:
    chunk = "It was late. In 1912 Carl Larsson left Oslo. Nobody cared."
    assert act(chunk) == [("INSERT", None, "In 1912 Carl Larsson left Oslo.")]


def test_small_talk_of_recognised_text_is_not_kept_for_its_names() -> None:
    agent = Selective()
    act(CODE.format("K1"), agent=agent)
    assert act("In 1912 Carl Larsson left Oslo.", agent=agent) == [("SKIP", None, None)]
    agent.reset({})
    assert act("In 1912 Carl Larsson left Oslo.", agent=agent)[0][0] == "INSERT"


def test_a_statement_of_any_text_is_replaced_by_its_later_version() -> None:
    items = [(3, "7. The author of Emma is Jane Austen.")]
    newer = "12. The author of Emma is Mary Shelley."
    assert act(newer, items) == [("UPDATE", 3, newer)]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("The author of Emma is Jane Austen.", "The author of Emma is Mary Shelley.", True),
        ("4. Anna is a citizen of Spain.", "9. Anna is a citizen of United States.", True),
        ("Carl plays the sport of golf.", "Carl plays the sport of chess.", True),
        ("The author of Emma is Jane Austen.", "The author of Ivanhoe is Jane Austen.", False),
        ("Anna is a citizen of Spain.", "Anna speaks the language of Spain.", False),
    ],
)
def test_statement_keys_tell_subject_and_relation(first: str, second: str, same: bool) -> None:
    assert statement_key(first) is not None
    assert (statement_key(first) == statement_key(second)) is same


def test_prose_and_fragments_have_no_key() -> None:
    assert statement_key("It rained.") is None
    assert statement_key("and so " * 20 + "it went on.") is None


def test_a_full_memory_is_left_as_it_is() -> None:
    items = [(1, "Some old text that fills it all.")]
    chunk = "In 1912 Carl Larsson left Oslo."
    assert act(chunk, items, budget=approx_tokens(items[0][1])) == [("SKIP", None, None)]

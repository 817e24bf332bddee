from __future__ import annotations

from collections.abc import Mapping

from baselines.managers.mirror import Mirror
from finemem_env.memory import Memory
from finemem_env.text import approx_tokens


def bring(
    mirror: Mirror, memory: Memory, wanted: Mapping[str, str], most: int | None = None
) -> list[str]:
    """One step; what was done, as "INSERT 3"."""
    held = {item.id: item.content for item in memory.items()}
    operations = mirror.operations(wanted, held, budget=memory.budget, most=most)
    change = memory.apply(0, operations)
    return [f"{one.name} {one.reason or one.item_id}" for one in change.results]


def seen(mirror: Mirror, memory: Memory) -> dict[str, str]:
    held = {item.id: item.content for item in memory.items()}
    return {key: held[item_id] for key, item_id in mirror.visible(held).items()}


def fresh(budget: int | None = None) -> tuple[Mirror, Memory]:
    return Mirror(), Memory(count_tokens=approx_tokens, budget=budget)


def test_a_changed_text_is_an_update_of_its_item() -> None:
    mirror, memory = fresh()
    texts = {"a": "Mara lives in Oslo.", "b": "The key is red."}
    assert bring(mirror, memory, texts) == ["INSERT 1", "INSERT 2"]
    assert bring(mirror, memory, texts) == []
    moved = {"a": "Mara lives in Rome.", "b": "The key is red"}  # b says the same
    assert bring(mirror, memory, moved) == ["UPDATE 1"]
    assert seen(mirror, memory) == {"a": "Mara lives in Rome.", "b": "The key is red."}


def test_keys_that_go_come_and_take_over_a_text() -> None:
    mirror, memory = fresh()
    bring(mirror, memory, {"a": "One thing.", "b": "Another thing."})
    assert bring(mirror, memory, {"c": "One thing.", "d": "A third."}) == ["DELETE 2", "INSERT 3"]
    assert seen(mirror, memory) == {"c": "One thing.", "d": "A third."}
    # b takes c's text while c gets a new one: the item goes to b.
    assert bring(mirror, memory, {"b": "One thing.", "c": "A fourth."}) == ["DELETE 3", "INSERT 4"]
    assert {item.content for item in memory.items()} == {"One thing.", "A fourth."}


def test_two_keys_with_one_text_share_an_item() -> None:
    mirror, memory = fresh()
    assert bring(mirror, memory, {"a": "Same.", "b": "same."}) == ["INSERT 1"]
    assert set(seen(mirror, memory)) == {"a", "b"}
    assert bring(mirror, memory, {"a": "Other.", "b": "same."}) == ["INSERT 2"]
    assert seen(mirror, memory) == {"a": "Other.", "b": "Same."}
    assert bring(mirror, memory, {"b": "Other."}) == ["DELETE 1"]


def test_what_is_refused_is_masked_and_asked_for_again_when_there_is_room() -> None:
    mirror, memory = fresh(budget=12)
    texts = {"a": "Mara lives in Oslo.", "b": "The red key opens the cellar."}
    assert bring(mirror, memory, texts) == ["INSERT 1", "INSERT memory full"]
    held = {item.id: item.content for item in memory.items()}
    assert mirror.refused(held) == ["b"]
    assert seen(mirror, memory) == {"a": "Mara lives in Oslo."}
    assert bring(mirror, memory, texts) == []  # nothing changed: not asked again
    assert bring(mirror, memory, {"b": texts["b"]}) == ["DELETE 1", "INSERT 2"]
    memory.budget = 30
    more = {"b": texts["b"], "c": "Gulls nest on the cliff in May every single year."}
    assert bring(mirror, memory, more) == ["INSERT 3"]


def test_a_refused_update_leaves_the_old_text_and_masks_the_key() -> None:
    mirror, memory = fresh(budget=8)
    bring(mirror, memory, {"a": "Mara lives in Oslo."})
    longer = {"a": "Mara lives in Oslo with her brother and his seven dogs."}
    assert bring(mirror, memory, longer) == ["UPDATE memory full"]
    held = {item.id: item.content for item in memory.items()}
    assert held == {1: "Mara lives in Oslo."}
    assert mirror.refused(held) == ["a"]
    assert mirror.visible(held) == {}
    assert bring(mirror, memory, longer) == []
    assert bring(mirror, memory, {"a": "Mara moved."}) == ["UPDATE 1"]


def test_no_more_operations_than_are_allowed_and_the_rest_later() -> None:
    mirror, memory = fresh()
    texts = {str(n): f"Fact number {n}." for n in range(5)}
    assert bring(mirror, memory, texts, most=3) == ["INSERT 1", "INSERT 2", "INSERT 3"]
    held = {item.id: item.content for item in memory.items()}
    assert mirror.refused(held) == []
    assert bring(mirror, memory, texts, most=3) == ["INSERT 4", "INSERT 5"]

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import finemem_env  # noqa: F401
from finemem_env.errors import ConfigError
from finemem_env.operations import parse
from finemem_env.prompts import View
from finemem_env.types import Limits, Operation
from finemem_env.wrappers import DiscreteOperations, Draft, FeatureObservation
from finemem_env.wrappers.draft import num_actions, overlap
from finemem_env.wrappers.features import encode, hashed

SKIP, INSERT = 0, 1
UPDATE, DELETE = 2, 4  # of slot 0, with one sentence and two slots


def make(sentences: int = 1, slots: int = 2) -> DiscreteOperations:
    env = gym.make("FineMem-CR-v0", disable_env_checker=True, num_chunks=3)
    return DiscreteOperations(env, sentences, slots)


def view(chunk: str, items: dict[int, str] | None = None, budget: int | None = None) -> View:
    held = tuple((items or {}).items())
    return View(0, 2, None, chunk, held, 0, len(held), 10 * len(held), budget)


def operations(draft: Draft) -> list[tuple[str, str | None, int | None]]:
    found = parse(draft.action())
    assert all(isinstance(one, Operation) for one in found)
    return [(one.op.value, one.content, one.item_id) for one in found if isinstance(one, Operation)]


def test_every_number_is_the_operation_it_says() -> None:
    items = {3: "Mara lives in Osta.", 5: "The gate is red."}
    draft = Draft(view("Mara lives in Rome. It rained. The gate is blue.", items))
    draft.apply(UPDATE)  # the nearest item, 3
    draft.apply(SKIP)
    draft.apply(DELETE)  # the nearest item, 5; the sentence stays
    assert not draft.done
    draft.apply(INSERT)
    assert draft.done
    assert operations(draft) == [
        ("DELETE", None, 5),
        ("UPDATE", "Mara lives in Rome.", 3),
        ("INSERT", "The gate is blue.", None),
    ]


def test_numbered_sentences_are_named() -> None:
    lines = ("Mara lives in Rome.", "It rained.", "The gate is blue.")
    items = {3: "Mara lives in Osta.", 5: "The gate is red."}
    draft = Draft(replace(view(" ".join(lines), items), lines=lines))
    for choice in (UPDATE, INSERT, SKIP):
        draft.apply(choice)
    assert draft.action() == "REPLACE 3 WITH 1\nKEEP 2"


def test_an_item_written_in_this_step_can_be_replaced_and_taken_back() -> None:
    draft = Draft(view("The gate is blue. The gate is red. It rained."))
    draft.apply(INSERT)
    draft.apply(UPDATE)
    assert operations(draft) == [("INSERT", "The gate is red.", None)]
    draft.apply(DELETE)
    draft.apply(SKIP)
    assert operations(draft) == [("SKIP", None, None)]


def test_a_wider_window_is_left_as_a_whole_by_skip() -> None:
    draft = Draft(view("A is one. B is two. C is three."), sentences=2)
    assert list(draft.situation.sentences) == ["A is one.", "B is two."]
    draft.apply(2)  # INSERT the second
    assert list(draft.situation.sentences) == ["A is one."]
    draft.apply(SKIP)
    assert list(draft.situation.sentences) == ["C is three."]


def test_what_would_be_refused_is_masked_and_counts_as_skip() -> None:
    draft = Draft(view("The gate is red.", {1: "The gate is red."}, budget=100))
    assert draft.mask().tolist() == [True, False, False, False, True, False]
    draft.apply(INSERT)
    assert operations(draft) == [("SKIP", None, None)]
    full = Draft(view("A long sentence of many words.", {1: "The gate."}, budget=10))
    assert not full.mask()[INSERT]


def test_similarity_sees_words_and_beginnings() -> None:
    same, lead = overlap("The gate is red.", "The gate is blue.")
    assert same == pytest.approx(0.75)
    assert lead == pytest.approx(0.75)
    assert overlap("", "x") == (0.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_masked_choices_are_never_rejected(data: st.DataObject) -> None:
    sentences = data.draw(st.integers(1, 3))
    env = make(sentences, 2)
    env.reset(seed=data.draw(st.integers(0, 3)))
    over = False
    while not over:
        allowed = np.flatnonzero(env.action_masks())
        choice = allowed[data.draw(st.integers(0, len(allowed) - 1))]
        _, _, over, _, info = env.step(choice)
        assert all(one["accepted"] for one in info["operations"])


LIMITS = st.fixed_dictionaries(
    {
        "max_operations": st.sampled_from([1, 2, 3, 5, "unlimited"]),
        "max_item_tokens": st.sampled_from([5, 8, 12, 20, "unlimited"]),
        "memory_budget": st.sampled_from([6, 20, 40, 0.05, "unlimited"]),
        "memory": st.sampled_from(["flat", "hierarchical"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(LIMITS, st.sampled_from(["FineMem-CR-v0", "FineMem-TTL-v0"]), st.data())
def test_every_approved_choice_is_accepted_under_any_limits(
    limits: dict[str, Any], env_id: str, data: st.DataObject
) -> None:
    inner = gym.make(env_id, disable_env_checker=True, num_chunks=3, **limits)
    env = DiscreteOperations(inner, data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    env.reset(seed=data.draw(st.integers(0, 5)))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    over = False
    while not over:
        allowed = np.flatnonzero(env.action_masks())
        # Skipping seldom: the limits are reached by choices that write.
        choice = 0 if len(allowed) == 1 or rng.random() < 0.1 else rng.choice(allowed[1:])
        _, _, over, _, info = env.step(np.int64(choice))
        assert all(one["accepted"] for one in info["operations"]), (limits, info["operations"])


def test_limits_are_those_of_the_environment_and_its_tokenizer() -> None:
    sentences = "Mara is here. Otto is there. Una is nowhere."
    limited = Draft(view(sentences), 3, 1, Limits(max_operations=2))
    limited.apply(INSERT)
    assert limited.mask()[INSERT]
    limited.apply(INSERT)
    assert limited.mask().sum() == 1  # SKIP
    assert len(operations(limited)) == 2
    short = Draft(view(sentences), 1, 1, Limits(max_item_tokens=3))
    assert not short.mask()[INSERT]
    letters = Draft(view(sentences, budget=13), 1, 1, Limits(max_item_tokens=13), len)
    assert letters.mask()[INSERT]
    assert not Draft(view(sentences, budget=12), 1, 1, Limits(), len).mask()[INSERT]


def test_updates_that_make_room_come_before_those_that_need_it() -> None:
    held = {1: "The old gate was red and wide.", 2: "The old key was small."}
    draft = Draft(view("The gate is red. The old key was found again.", held), 1, 2)
    for word in ("gate", "key"):
        (place,) = (i for i, slot in enumerate(draft.situation.slots) if word in slot.text)
        draft.apply(2 + place)
    assert [(op, item_id) for op, _, item_id in operations(draft)] == [("UPDATE", 1), ("UPDATE", 2)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, num_actions(2, 2) - 1), max_size=60), st.text(max_size=200))
def test_any_choices_end_in_operations_that_can_be_read(choices: list[int], chunk: str) -> None:
    draft = Draft(view(chunk, {1: "The gate is red."}), sentences=2)
    for choice in choices:
        if not draft.done:
            draft.apply(choice)
    assert operations(draft)


def test_rewards_come_with_the_last_sentence_and_add_up() -> None:
    env = make()
    env.reset(seed=0)
    total, paid, steps, over = 0.0, 0, 0, False
    while not over:
        _, reward, over, _, info = env.step(np.int64(INSERT))
        total += float(reward)
        paid += reward != 0
        steps += 1
    assert paid == 3
    assert steps > 10
    assert sum(info["step_rewards"]) == pytest.approx(total)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.int64(0))


@pytest.mark.parametrize("flat", [True, False])
def test_the_stack_is_a_proper_environment(flat: bool) -> None:
    env = FeatureObservation(make(), flat=flat)
    with pytest.warns(UserWarning, match="unwrapped version"):
        check_env(env, skip_render_check=True)


def test_without_numbered_operations_the_chunk_is_shown_and_actions_stay_text() -> None:
    env = FeatureObservation(gym.make("FineMem-AR-v0", disable_env_checker=True), flat=False)
    observation, _ = env.reset(seed=0)
    assert isinstance(observation, dict)
    assert observation["words"].shape == (8, 128)
    assert observation["words"].any(axis=1).all()
    observation, *_ = env.step(json.dumps([{"op": "SKIP"}]))
    assert env.observation_space.contains(observation)


def test_features_tell_kinds_apart_and_not_names() -> None:
    first = hashed("The home town of Mara Osta is Rome.", 128)
    assert (first == hashed("The home town of Bela Kun is Pest.", 128)).all()
    assert (first != hashed("The badge of Mara Osta is 17.", 128)).any()
    found = encode(Draft(view("Mara lives in Osta.")).situation, 1, 2, 16)
    assert all((part >= 0).all() and (part <= 1).all() for part in found.values())


def test_a_copy_goes_on_where_the_original_was() -> None:
    env = FeatureObservation(make())
    env.reset(seed=1)
    env.step(np.int64(INSERT))
    copy = pickle.loads(pickle.dumps(env))
    for _ in range(20):
        one, other = env.step(np.int64(SKIP)), copy.step(np.int64(SKIP))
        assert (one[0] == other[0]).all()
        assert one[1] == other[1]


def test_the_specification_makes_the_same_stack_again() -> None:
    env = FeatureObservation(make(2, 3), bins=32)
    assert env.spec is not None
    names = [one.name for one in env.spec.additional_wrappers]
    assert names == ["DiscreteOperations", "FeatureObservation"]


def test_a_window_needs_a_sentence() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        make(0)

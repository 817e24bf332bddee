"""Properties of the rewards that hold for every episode: conservation, equal returns, bounds."""

from __future__ import annotations

import dataclasses
import math
from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from finemem_env.rewards import (
    REWARDS,
    EpisodeOutcome,
    FinalOutcome,
    RewardSettings,
    ShownItem,
    StepOutcome,
    Weights,
    step_rewards,
)
from finemem_env.rewards.attribution import (
    eara,
    evidence_credit,
    global_reward,
    needs_leave_one_out,
    shares,
)
from finemem_env.rewards.formulas import (
    chunk_reward,
    closing_reward,
    compression_reward,
    content_reward,
    episode_valid,
    format_reward,
    step_valid,
    stream_reward,
    terms,
)
from finemem_env.rewards.presets import CompressionScale

MODES: tuple[str, ...] = ("last_write", "all_writes", "leave_one_out", "cited")
SCALES: tuple[CompressionScale, ...] = ("step", "episode")

# A loaded machine must not fail a property.
patient = hypothesis_settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)

scores = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(0.0, 1.0))
modes = st.sampled_from(MODES)
weights = st.builds(Weights, st.floats(0, 2), st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
settings = st.builds(
    RewardSettings,
    st.just("any"),
    modes,
    st.floats(0.0, 1.0),
    weights,
    st.sampled_from(SCALES),
    st.booleans(),
)


# Strategies are made once: making and checking them costs more than drawing from them.
none_or_scores = st.none() | scores
at_will = st.booleans()
answers_used = st.lists(st.tuples(st.integers(-2, 6), st.none() | st.integers(-2, 5)), max_size=4)
one_in_six = st.integers(0, 5).map(lambda drawn: drawn == 0)


@cache
def asked_after(num_steps: int) -> SearchStrategy[int | None]:
    return st.none() | st.integers(0, num_steps - 1)


@cache
def one_score_each(count: int) -> SearchStrategy[list[float | None]]:
    return st.lists(none_or_scores, min_size=count, max_size=count)


@cache
def shown_items(horizon: int, forbidden: int | None = None) -> SearchStrategy[ShownItem]:
    """An item as a memory records it: sentences are by writers, `step` is the latest sentence's."""
    allowed = st.sampled_from([step for step in range(horizon) if step != forbidden])

    def item(sentences: list[int], earlier: list[int]) -> ShownItem:
        writers = tuple(sorted({*sentences, *earlier}))
        return ShownItem(max(sentences), writers, tuple(sentences))

    return st.builds(item, st.lists(allowed, min_size=1, max_size=4), st.lists(allowed, max_size=2))


@cache
def all_shown(horizon: int, forbidden: int | None) -> SearchStrategy[list[ShownItem]]:
    if horizon == 1 and forbidden == 0:
        return st.just([])
    return st.lists(shown_items(horizon, forbidden), max_size=5)


@cache
@st.composite
def final_outcomes(draw: st.DrawFn, num_steps: int, forbidden: int | None = None) -> FinalOutcome:
    """A final question, sometimes asked early, failed, without items or with broken citations."""
    after = draw(asked_after(num_steps))
    shown = draw(all_shown(num_steps if after is None else after + 1, forbidden))
    return FinalOutcome(
        score=draw(scores),
        shown=tuple(shown),
        used=tuple(draw(answers_used)),
        without=tuple(draw(one_score_each(len(shown)))) if draw(at_will) else (),
        failed=draw(one_in_six),
        asked_after=after,
    )


@cache
def all_finals(
    num_steps: int, most: int, *, least: int = 0, forbidden: int | None = None
) -> SearchStrategy[list[FinalOutcome]]:
    return st.lists(final_outcomes(num_steps, forbidden), min_size=least, max_size=most)


step_outcomes = st.builds(
    lambda accepted, memory_full, rejected, chunk_scores, content_scores: StepOutcome(
        emitted=accepted + memory_full + rejected,
        accepted=accepted,
        memory_full=memory_full,
        chunk_scores=tuple(chunk_scores),
        content_scores=tuple(content_scores),
    ),
    *[st.integers(0, 20)] * 3,
    st.lists(none_or_scores, max_size=5),
    st.lists(scores, max_size=3),
)
all_steps = st.lists(step_outcomes, min_size=1, max_size=12)
input_sizes = st.integers(0, 100_000)


@st.composite
def any_episode(draw: st.DrawFn) -> EpisodeOutcome:
    steps = tuple(draw(all_steps))
    input_tokens = draw(input_sizes)
    return EpisodeOutcome(
        steps=steps,
        finals=tuple(draw(all_finals(len(steps), 8))),
        memory_tokens=draw(st.integers(0, 4 * input_tokens)),
        input_tokens=input_tokens,
    )


episodes = any_episode()
lengths = st.integers(1, 12)


@patient
@given(st.data(), lengths, modes)
def test_shares_are_a_distribution_over_the_steps_taken(
    data: st.DataObject, num_steps: int, mode: str
) -> None:
    final = data.draw(final_outcomes(num_steps))
    found = shares(final, mode, num_steps)
    horizon = num_steps if final.asked_after is None else final.asked_after + 1
    assert len(found) == num_steps
    assert min(found) >= 0.0
    assert math.isclose(sum(found), 1.0, abs_tol=1e-9)
    assert not any(found[horizon:])


@patient
@given(st.data(), lengths, st.floats(0.0, 1.0))
@pytest.mark.parametrize("mode", MODES)
def test_eara_conserves_the_global_reward(
    mode: str, data: st.DataObject, num_steps: int, beta: float
) -> None:
    finals = data.draw(all_finals(num_steps, 8))
    found = eara(finals, RewardSettings("any", mode, beta), num_steps)
    assert len(found) == num_steps
    assert min(found) >= 0.0
    assert abs(math.fsum(found) - global_reward(finals)) <= 1e-9


@patient
@given(st.data(), lengths, modes, st.floats(0.0, 1.0))
def test_eara_is_the_sum_of_its_definition(
    data: st.DataObject, num_steps: int, mode: str, beta: float
) -> None:
    finals = data.draw(all_finals(num_steps, 5, least=1))
    counted = [final for final in finals if not final.failed]
    expected = [0.0] * num_steps
    for final in counted:
        horizon = num_steps if final.asked_after is None else final.asked_after + 1
        share = shares(final, mode, num_steps)
        for step in range(num_steps):
            uniform = (step < horizon) / horizon
            credit = (1 - beta) * uniform + beta * share[step]
            expected[step] += final.score * credit / len(counted)
    found = eara(finals, RewardSettings("any", mode, beta), num_steps)
    assert found == pytest.approx(expected, abs=1e-12)


@patient
@given(st.data(), lengths, modes)
def test_evidence_credit_covers_exactly_the_answers_with_items(
    data: st.DataObject, num_steps: int, mode: str
) -> None:
    finals = data.draw(all_finals(num_steps, 8))
    counted = [final for final in finals if not final.failed]
    with_items = sum(final.score for final in counted if final.shown)
    credit = evidence_credit(finals, mode, num_steps)
    assert min(credit) >= 0.0
    assert math.isclose(math.fsum(credit) * max(1, len(counted)), with_items, abs_tol=1e-9)


@patient
@given(st.data(), st.integers(2, 12), modes)
def test_a_step_that_wrote_nothing_earns_no_evidence_credit(
    data: st.DataObject, num_steps: int, mode: str
) -> None:
    idle = data.draw(st.integers(0, num_steps - 1))  # it only deleted, skipped or was rejected
    finals = data.draw(all_finals(num_steps, 6, forbidden=idle))
    assert evidence_credit(finals, mode, num_steps)[idle] == 0.0


@patient
@given(st.data(), lengths, modes)
def test_calls_that_are_not_asked_for_would_change_nothing(
    data: st.DataObject, num_steps: int, mode: str
) -> None:
    final = data.draw(final_outcomes(num_steps))
    assume(not needs_leave_one_out(final, mode))
    bare = dataclasses.replace(final, without=())
    config = RewardSettings("any", mode)
    assert eara((final,), config, num_steps) == pytest.approx(
        eara((bare,), config, num_steps), abs=1e-12
    )


@patient
@given(st.data(), lengths, settings)
def test_failed_questions_change_no_reward(
    data: st.DataObject, num_steps: int, config: RewardSettings
) -> None:
    finals = data.draw(all_finals(num_steps, 6))
    kept = [final for final in finals if not final.failed]
    assert global_reward(finals) == global_reward(kept)
    assert eara(finals, config, num_steps) == eara(kept, config, num_steps)


@patient
@given(st.data(), lengths, modes)
def test_the_order_of_questions_does_not_matter(
    data: st.DataObject, num_steps: int, mode: str
) -> None:
    finals = data.draw(all_finals(num_steps, 6))
    mixed = data.draw(st.permutations(finals))
    config = RewardSettings("any", mode)
    assert eara(mixed, config, num_steps) == pytest.approx(
        eara(finals, config, num_steps), abs=1e-12
    )


def streamed_return(outcome: EpisodeOutcome, config: RewardSettings) -> float:
    paid = [stream_reward(step, config) for step in outcome.steps]
    return math.fsum([*paid, closing_reward(outcome, config)])


@patient
@given(episodes)
def test_streamed_and_attributed_returns_agree_in_every_preset(outcome: EpisodeOutcome) -> None:
    for preset in REWARDS.values():
        for scale in SCALES:
            config = dataclasses.replace(preset, compression_scale=scale)
            attributed = step_rewards(outcome, config)
            assert len(attributed) == len(outcome.steps)
            assert abs(math.fsum(attributed) - streamed_return(outcome, config)) <= 1e-9, config


@patient
@given(episodes, settings)
def test_streamed_and_attributed_returns_agree_under_any_settings(
    outcome: EpisodeOutcome, config: RewardSettings
) -> None:
    attributed = step_rewards(outcome, config)
    assert all(math.isfinite(reward) for reward in attributed)
    assert abs(math.fsum(attributed) - streamed_return(outcome, config)) <= 1e-9


@patient
@given(episodes)
def test_an_attribution_mode_moves_credit_but_never_the_return(outcome: EpisodeOutcome) -> None:
    base = REWARDS["fine-mem"]
    returns = [
        math.fsum(step_rewards(outcome, dataclasses.replace(base, attribution=mode)))
        for mode in MODES
    ]
    assert returns == pytest.approx([returns[0]] * len(MODES), abs=1e-9)


@patient
@given(episodes, st.sampled_from(SCALES))
def test_where_brevity_is_earned_an_empty_memory_earns_least(
    outcome: EpisodeOutcome, scale: CompressionScale
) -> None:
    config = dataclasses.replace(REWARDS["fine-mem-earned"], compression_scale=scale)
    skipped = EpisodeOutcome(
        tuple(StepOutcome(1, 1, 0, (0.0,) * len(step.chunk_scores)) for step in outcome.steps),
        tuple(FinalOutcome(0.0, (), asked_after=final.asked_after) for final in outcome.finals),
        0,
        outcome.input_tokens,
    )
    assert streamed_return(skipped, config) == 0.0
    assert step_rewards(skipped, config) == (0.0,) * len(outcome.steps)
    valid = tuple(
        dataclasses.replace(step, emitted=count, accepted=count, memory_full=0)
        for step in outcome.steps
        for count in (max(1, step.accepted),)
    )
    smaller = min(outcome.memory_tokens, outcome.input_tokens)
    acted = dataclasses.replace(outcome, steps=valid, memory_tokens=smaller)
    assert streamed_return(acted, config) >= 0.0


@patient
@given(episodes)
def test_every_term_is_bounded(outcome: EpisodeOutcome) -> None:
    for step in outcome.steps:
        assert 0.0 <= format_reward(step) <= 1.0
        assert 0.0 <= chunk_reward(step) <= 1.0
        assert 0.0 <= content_reward(step) <= 1.0
    assert 0.0 <= global_reward(outcome.finals) <= 1.0
    compression = compression_reward(outcome.memory_tokens, outcome.input_tokens)
    assert compression <= 1.0
    if outcome.memory_tokens <= outcome.input_tokens:
        assert compression >= 0.0
    found = terms(outcome.steps[-1], outcome)
    assert found["compression"] == compression
    assert found["global"] == global_reward(outcome.finals)


@patient
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 10**6))
def test_compression_falls_with_every_token_kept(few: int, more: int, input_tokens: int) -> None:
    assume(few < more)
    assert compression_reward(few, input_tokens) > compression_reward(more, input_tokens)


@patient
@given(step_outcomes, st.integers(1, 50))
def test_hitting_the_budget_changes_no_format_reward(step: StepOutcome, full: int) -> None:
    assume(step.emitted > step.memory_full)
    flooded = dataclasses.replace(
        step, emitted=step.emitted + full, memory_full=step.memory_full + full
    )
    assert format_reward(flooded) == format_reward(step)


@patient
@given(step_outcomes, st.integers(1, 50))
def test_rejected_padding_never_raises_the_format_reward(step: StepOutcome, extra: int) -> None:
    assume(step.emitted > 0)
    padded = dataclasses.replace(step, emitted=step.emitted + extra)
    assert format_reward(padded) <= format_reward(step)


@patient
@given(episodes, settings)
def test_validity_follows_its_definition(outcome: EpisodeOutcome, config: RewardSettings) -> None:
    failed = sum(final.failed for final in outcome.finals)
    too_many = failed > 0.1 * len(outcome.finals)
    assert episode_valid(outcome.finals) is not too_many
    for step, valid in zip(outcome.steps, step_valid(outcome, config), strict=True):
        lost = set(step.chunk_scores) == {None} and config.weights.chunk_qa != 0.0
        assert valid is not (too_many or lost)
        assert isinstance(valid, bool)

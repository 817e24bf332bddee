"""Every reward formula against numbers worked out by hand; the sums are in the comments."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest

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
    compression_total,
    compression_weight,
    content_reward,
    episode_valid,
    format_reward,
    step_valid,
    stream_reward,
    terms,
)
from finemem_env.rewards.presets import CompressionScale
from finemem_env.settings import resolve

MODES: tuple[str, ...] = ("last_write", "all_writes", "leave_one_out", "cited")

# Item A: written at step 0 (two sentences), extended at step 2; item B: one sentence from step 1.
A = ShownItem(step=2, writers=(0, 2), sentence_steps=(0, 0, 2))
B = ShownItem(step=1, writers=(1,), sentence_steps=(1,))


def written_at(step: int) -> ShownItem:
    return ShownItem(step=step, writers=(step,), sentence_steps=(step,))


def step(emitted: int = 1, accepted: int = 1, memory_full: int = 0) -> StepOutcome:
    return StepOutcome(emitted, accepted, memory_full)


# ---------------------------------------------------------------------------------------- terms


@pytest.mark.parametrize(
    "emitted, accepted, memory_full, expected",
    [
        (4, 3, 0, 0.75),  # 3 / 4
        (4, 2, 1, 2 / 3),  # 2 / (4 − 1)
        (5, 0, 2, 0.0),  # 0 / (5 − 2)
        (3, 0, 3, 1.0),  # all ran into the budget: the syntax was right
        (3, 2, 1, 1.0),  # 2 / (3 − 1)
        (1, 1, 0, 1.0),  # a lone SKIP
        (0, 0, 0, 0.0),  # nothing was emitted
    ],
)
def test_format_reward(emitted: int, accepted: int, memory_full: int, expected: float) -> None:
    assert format_reward(StepOutcome(emitted, accepted, memory_full)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "scores, expected",
    [
        ((1.0, 0.0, 1.0, 1.0, 0.0), 0.6),  # 3 / 5
        ((1.0, None, 0.5), 0.75),  # the failed call leaves K: 1.5 / 2
        ((None, None), 0.0),  # nothing answered
        ((), 0.0),  # K = 0
    ],
)
def test_chunk_reward(scores: tuple[float | None, ...], expected: float) -> None:
    assert chunk_reward(StepOutcome(1, 1, 0, scores)) == pytest.approx(expected)


def test_content_reward_is_the_mean_of_the_judge_and_zero_without_one() -> None:
    assert content_reward(StepOutcome(2, 2, 0, (), (1.0, 0.5))) == 0.75
    assert content_reward(StepOutcome(2, 2, 0)) == 0.0


@pytest.mark.parametrize(
    "memory_tokens, input_tokens, expected",
    [
        (0, 100, 1.0),  # empty memory
        (40, 100, 0.6),  # 1 − 40/100
        (100, 100, 0.0),  # everything kept word for word
        (250, 100, -1.5),  # a memory larger than the input is negative
        (0, 0, 1.0),  # an input without tokens counts as one
        (2, 0, -1.0),  # 1 − 2/1
    ],
)
def test_compression_reward(memory_tokens: int, input_tokens: int, expected: float) -> None:
    assert compression_reward(memory_tokens, input_tokens) == pytest.approx(expected)


def test_global_reward_counts_answered_questions_only() -> None:
    finals = (
        FinalOutcome(1.0, ()),
        FinalOutcome(0.5, ()),
        FinalOutcome(0.0, (), failed=True),
        FinalOutcome(0.0, ()),
    )
    assert global_reward(finals) == 0.5  # (1 + .5 + 0) / 3, not / 4
    assert global_reward([FinalOutcome(1.0, (), failed=True)]) == 0.0  # nothing answered
    assert global_reward([]) == 0.0


# ---------------------------------------------------------------------------------- attribution


@pytest.mark.parametrize(
    "mode, expected",
    [
        # .5 each: A at its last write (2), B at 1.
        ("last_write", (0.0, 0.5, 0.5, 0.0)),
        # .5 each: A's half split over its writers 0 and 2.
        ("all_writes", (0.25, 0.5, 0.25, 0.0)),
        # No extra calls made: .5 each, A's half over the distinct steps {0, 2} of its sentences.
        ("leave_one_out", (0.25, 0.5, 0.25, 0.0)),
        # Nothing cited, no extra calls: as above.
        ("cited", (0.25, 0.5, 0.25, 0.0)),
    ],
)
def test_shares_of_an_answer_from_two_items(mode: str, expected: tuple[float, ...]) -> None:
    assert shares(FinalOutcome(1.0, (A, B)), mode, 4) == pytest.approx(expected)


def test_all_writes_counts_a_writer_whose_text_was_replaced() -> None:
    # Step 0's text is gone, only step 3's is present; step 0 still wrote the item.
    item = ShownItem(step=3, writers=(0, 3), sentence_steps=(3,))
    final = FinalOutcome(1.0, (item,))
    assert shares(final, "all_writes", 4) == (0.5, 0.0, 0.0, 0.5)
    assert shares(final, "leave_one_out", 4) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "score, without, expected",
    [
        # Drops .75 and 0: all to A, over its distinct sentence steps 0 and 2.
        (1.0, (0.25, 1.0), (0.5, 0.0, 0.5)),
        # Drops .5 and .25: A 2/3 over {0, 2}, B 1/3.
        (1.0, (0.5, 0.75), (1 / 3, 1 / 3, 1 / 3)),
        # The answer gets better without A (drop −.5 → 0), worse without B: all to B.
        (0.5, (1.0, 0.0), (0.0, 1.0, 0.0)),
        # No item matters, each alone would do: even.
        (1.0, (1.0, 1.0), (0.25, 0.5, 0.25)),
        # One extra call failed: even, although the other says that A matters.
        (1.0, (0.0, None), (0.25, 0.5, 0.25)),
        # The extra calls were not made: even.
        (1.0, (), (0.25, 0.5, 0.25)),
    ],
)
def test_leave_one_out_follows_the_drop(
    score: float, without: tuple[float | None, ...], expected: tuple[float, ...]
) -> None:
    final = FinalOutcome(score, (A, B), without=without)
    assert shares(final, "leave_one_out", 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    "used, expected",
    [
        # A's third sentence is of step 2, B's only one of step 1.
        (((0, 2), (1, 0)), (0.0, 0.5, 0.5)),
        # Both early sentences of A and B: three entries of 1/3.
        (((0, 0), (0, 1), (1, 0)), (2 / 3, 1 / 3, 0.0)),
        # Items without a sentence: half each, A's over {0, 2}.
        (((0, None), (1, None)), (0.25, 0.5, 0.25)),
        # Items 5 and −1 were not shown, A has no sentence 9, B none at −1: A's first is left.
        (((5, 0), (-1, 0), (0, 9), (1, -1), (0, 0)), (1.0, 0.0, 0.0)),
    ],
)
def test_cited_follows_the_citations(
    used: tuple[tuple[int, int | None], ...], expected: tuple[float, ...]
) -> None:
    # `without` says that only B matters; a usable citation goes first.
    final = FinalOutcome(1.0, (A, B), used=used, without=(1.0, 0.0))
    assert shares(final, "cited", 3) == pytest.approx(expected)


@pytest.mark.parametrize("used", [(), ((2, None),), ((0, 3), (-1, None))])
def test_cited_without_a_usable_citation_falls_back_to_leave_one_out(
    used: tuple[tuple[int, int | None], ...],
) -> None:
    # Drops 0 and 1: all to B at step 1.
    assert shares(FinalOutcome(1.0, (A, B), used, (1.0, 0.0)), "cited", 3) == (0.0, 1.0, 0.0)
    # No extra calls: even, A's half over {0, 2}.
    assert shares(FinalOutcome(1.0, (A, B), used), "cited", 3) == (0.25, 0.5, 0.25)


def test_nothing_shown_spreads_over_the_steps_taken() -> None:
    for mode in MODES:
        assert shares(FinalOutcome(1.0, ()), mode, 4) == (0.25,) * 4
        # Asked right after step 1: two steps had been taken.
        assert shares(FinalOutcome(1.0, (), asked_after=1), mode, 4) == (0.5, 0.5, 0.0, 0.0)


def test_an_item_without_recorded_sentences_is_anchored_at_its_step() -> None:
    bare = ShownItem(step=1, writers=(), sentence_steps=())
    final = FinalOutcome(1.0, (bare,), used=((0, None),))
    for mode in MODES:
        assert shares(final, mode, 2) == (0.0, 1.0)


@pytest.mark.parametrize(
    "final, mode, expected",
    [
        (FinalOutcome(1.0, (A, B)), "leave_one_out", True),
        (FinalOutcome(1.0, (A, B)), "cited", True),
        (FinalOutcome(1.0, (A, B), used=((7, None), (0, 5))), "cited", True),  # nothing usable
        (FinalOutcome(1.0, (A, B), used=((0, 1),)), "cited", False),
        (FinalOutcome(1.0, (A, B)), "last_write", False),
        (FinalOutcome(1.0, (A, B)), "all_writes", False),
        (FinalOutcome(0.0, (A, B)), "leave_one_out", False),  # no credit to place
        (FinalOutcome(1.0, (A, B), failed=True), "leave_one_out", False),
        (FinalOutcome(1.0, ()), "leave_one_out", False),
        (FinalOutcome(1.0, (A,)), "leave_one_out", False),  # the only item gets all in any case
        (FinalOutcome(1.0, (B, written_at(1))), "leave_one_out", False),  # all at step 1
    ],
)
def test_extra_reader_calls_are_asked_for_only_where_they_can_change_the_shares(
    final: FinalOutcome, mode: str, expected: bool
) -> None:
    assert needs_leave_one_out(final, mode) is expected


# ----------------------------------------------------------------------------------------- EARA


def test_evidence_credit_is_the_papers_n_t() -> None:
    finals = (
        FinalOutcome(1.0, (A, B)),
        FinalOutcome(0.5, (B,)),
        FinalOutcome(0.0, (A,)),
        FinalOutcome(1.0, ()),
    )
    # last_write, n = 4. Step 2: A in q1, 1/(2·4) = .125. Step 1: B in q1, .125, and in q2,
    # .5/(1·4) = .125.
    # The last answer used no item: it is no evidence.
    assert evidence_credit(finals, "last_write", 3) == pytest.approx((0.0, 0.25, 0.125))


def test_eara_mixes_uniform_and_evidence_credit() -> None:
    finals = (FinalOutcome(1.0, (A, B)), FinalOutcome(0.5, (B,)))
    # n = 2, r_global = .75, uniform .25 a step. N = (0, 1/4 + .5/2, 1/4) = (0, .5, .25).
    # β = .5: .125 + .5·N.
    found = eara(finals, RewardSettings("x", beta=0.5), 3)
    assert found == pytest.approx((0.125, 0.375, 0.25))
    assert eara(finals, RewardSettings("x", beta=0.0), 3) == pytest.approx((0.25,) * 3)
    assert eara(finals, RewardSettings("x", beta=1.0), 3) == pytest.approx((0.0, 0.5, 0.25))


def test_eara_spreads_an_answer_without_items() -> None:
    finals = (FinalOutcome(1.0, ()), FinalOutcome(1.0, (B,)))
    # n = 2, T = 4. First: all of it even, 1/2/4 = .125 a step. Second: .5·.5/4 = .0625 a step and
    # .5·.5 = .25 at step 1.
    found = eara(finals, RewardSettings("x", beta=0.5), 4)
    assert found == pytest.approx((0.1875, 0.4375, 0.1875, 0.1875))
    assert math.isclose(sum(found), 1.0)


def test_eara_pays_a_delayed_question_only_to_the_steps_before_it() -> None:
    finals = (FinalOutcome(1.0, (written_at(0),), asked_after=1), FinalOutcome(0.5, (A,)))
    # n = 2, T = 4. Delayed (T_j = 2): .5·.5/2 = .125 at steps 0 and 1, and .25 at step 0.
    # At the end: .5·.5·.5/4 = .03125 a step, and A's .5·.5·.5 = .125 at step 2.
    found = eara(finals, RewardSettings("x", beta=0.5), 4)
    assert found == pytest.approx((0.40625, 0.15625, 0.15625, 0.03125))
    assert math.isclose(sum(found), 0.75)


def test_asked_after_is_inclusive_and_zero_based() -> None:
    first = FinalOutcome(1.0, (), asked_after=0)
    last = FinalOutcome(1.0, (), asked_after=2)
    assert eara((first,), RewardSettings("x"), 3) == (1.0, 0.0, 0.0)
    assert eara((last,), RewardSettings("x"), 3) == pytest.approx((1 / 3,) * 3)


def test_failed_questions_are_left_out_of_eara() -> None:
    asked = (FinalOutcome(1.0, (B,)),)
    failed = FinalOutcome(0.0, (A,), failed=True)
    settings = RewardSettings("x")
    assert eara((*asked, failed), settings, 3) == eara(asked, settings, 3)
    # n = 1, not 2: step 1 holds the whole of q1's credit.
    assert evidence_credit((*asked, failed), "last_write", 3) == (0.0, 1.0, 0.0)
    assert eara((failed,), settings, 3) == (0.0, 0.0, 0.0)
    assert eara((), settings, 3) == (0.0, 0.0, 0.0)


def test_a_step_that_only_deletes_earns_no_evidence_credit() -> None:
    # Step 1 deleted something and wrote nothing: no item is anchored there.
    finals = (FinalOutcome(1.0, (written_at(0), written_at(2))),)
    for mode in MODES:
        assert evidence_credit(finals, mode, 3)[1] == 0.0


# -------------------------------------------------------------------------------------- presets

# T = 2. Step 0: r_fmt 3/(5−1) = .75, r_chunk (1+.5)/2 = .75, content .5.
#        Step 1: r_fmt 1/2 = .5,      r_chunk (0+1)/2 = .5,   no content judged.
# q1 scores 1 with four items shown, one from step 0 and three from step 1, and cites the first.
# q2 scores .5, asked after step 0 with the item of step 0 shown. n = 2, r_global = .75.
# r_comp = 1 − 20/100 = .8.
OUTCOME = EpisodeOutcome(
    steps=(
        StepOutcome(5, 3, 1, (1.0, 0.5, None), (0.5,)),
        StepOutcome(2, 1, 0, (0.0, 1.0)),
    ),
    finals=(
        FinalOutcome(
            1.0, (written_at(0), written_at(1), written_at(1), written_at(1)), used=((0, 0),)
        ),
        FinalOutcome(0.5, (written_at(0),), asked_after=0),
    ),
    memory_tokens=20,
    input_tokens=100,
)

# r_EARA, β = .5: (1/2)·[1·(.5/2 + .5·share_1(t)) + .5·(.5·1(t=0) + .5·1(t=0))]
#   last_write, share_1 = (.25, .75): t=0: .5·(.375 + .5) = .4375; t=1: .5·(.25 + .375) = .3125
#   cited, share_1 = (1, 0):          t=0: .5·(.75 + .5) = .625;   t=1: .5·.25 = .125
# β = 0: t=0: .5·(.5 + .5) = .5; t=1: .5·.5 = .25
# w·r_comp a step: "step" .05·.8 = .04; "episode" .05·10/2·.8 = .2.
PRESETS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    # t=0: .4375 + .75 + .5·.75 + .04; t=1: .3125 + .5 + .5·.5 + .04; "episode" adds .16 to each
    "fine-mem": ((1.6025, 1.1025), (1.7625, 1.2625)),
    # .625 + .75 + .375 + .04; .125 + .5 + .25 + .04
    "fine-mem-cited": ((1.79, 0.915), (1.95, 1.075)),
    # .625 + .1·(.75 − 1) + .375 + .04·.75; .125 + .1·(.5 − 1) + .25 + .04·.75
    "fine-mem-earned": ((1.005, 0.355), (1.125, 0.475)),
    # .5 + .75 + .04; .25 + .5 + .04
    "outcome": ((1.29, 0.79), (1.45, 0.95)),
    # .5 + .75 + .375 + .04; .25 + .5 + .25 + .04
    "chunk": ((1.665, 1.04), (1.825, 1.2)),
    # .4375 + .75 + .04; .3125 + .5 + .04
    "evidence": ((1.2275, 0.8525), (1.3875, 1.0125)),
    # .625 + .75 + .04; .125 + .5 + .04
    "evidence-cited": ((1.415, 0.665), (1.575, 0.825)),
    # .75 + .04 + .75 + .1·.5; .75 + .04 + .5 + 0; the scale is ignored
    "mem-alpha": ((1.59, 1.29), (1.59, 1.29)),
}

# What each step streams, then what the last step adds, under "step" and "episode".
STREAMED: dict[str, tuple[tuple[float, float], float, float]] = {
    # .75 + .375; .5 + .25; closing .75 + 2·.05·.8 = .83 or .75 + 10·.05·.8 = 1.15
    "fine-mem": ((1.125, 0.75), 0.83, 1.15),
    "fine-mem-cited": ((1.125, 0.75), 0.83, 1.15),
    # −.025 + .375; −.05 + .25; closing .75 + 2·.05·.8·.75 or .75 + 10·.05·.8·.75
    "fine-mem-earned": ((0.35, 0.2), 0.81, 1.05),
    "outcome": ((0.75, 0.5), 0.83, 1.15),
    "chunk": ((1.125, 0.75), 0.83, 1.15),
    "evidence": ((0.75, 0.5), 0.83, 1.15),
    "evidence-cited": ((0.75, 0.5), 0.83, 1.15),
    # .75 + .1·.5; .5; closing 2·(.75 + .05·.8)
    "mem-alpha": ((0.8, 0.5), 1.58, 1.58),
}


def scaled(name: str, scale: CompressionScale) -> RewardSettings:
    return dataclasses.replace(REWARDS[name], compression_scale=scale)


def test_the_tables_cover_every_preset() -> None:
    assert set(PRESETS) == set(STREAMED) == set(REWARDS)


@pytest.mark.parametrize("name", REWARDS)
def test_attributed_rewards_of_every_preset(name: str) -> None:
    by_step, by_episode = PRESETS[name]
    assert step_rewards(OUTCOME, scaled(name, "step")) == pytest.approx(by_step)
    assert step_rewards(OUTCOME, scaled(name, "episode")) == pytest.approx(by_episode)


@pytest.mark.parametrize("name", REWARDS)
def test_streamed_rewards_of_every_preset(name: str) -> None:
    streamed, by_step, by_episode = STREAMED[name]
    found = [stream_reward(one, scaled(name, "step")) for one in OUTCOME.steps]
    assert found == pytest.approx(streamed)
    assert closing_reward(OUTCOME, scaled(name, "step")) == pytest.approx(by_step)
    assert closing_reward(OUTCOME, scaled(name, "episode")) == pytest.approx(by_episode)


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("scale", ["step", "episode"])
def test_both_forms_have_the_same_return(name: str, scale: CompressionScale) -> None:
    settings = scaled(name, scale)
    streamed = sum(stream_reward(one, settings) for one in OUTCOME.steps)
    assert streamed + closing_reward(OUTCOME, settings) == pytest.approx(
        sum(step_rewards(OUTCOME, settings)), abs=1e-12
    )


def test_the_resolved_protocols_use_their_own_scale() -> None:
    # managed: fine-mem-earned under "episode"; fine-mem: its own preset under "step".
    managed, paper = resolve().reward, resolve(protocol="fine-mem").reward
    assert step_rewards(OUTCOME, managed) == pytest.approx(PRESETS["fine-mem-earned"][1])
    assert step_rewards(OUTCOME, paper) == pytest.approx(PRESETS["fine-mem"][0])


def test_the_content_weight_works_in_every_preset() -> None:
    settings = RewardSettings("x", weights=Weights(content=0.2))
    plain = RewardSettings("x")
    # Only step 0 was judged, at .5: .2·.5 = .1 more there, in both forms.
    gained = [
        a - b
        for a, b in zip(step_rewards(OUTCOME, settings), step_rewards(OUTCOME, plain), strict=True)
    ]
    assert gained == pytest.approx((0.1, 0.0))
    streamed = [stream_reward(one, settings) - stream_reward(one, plain) for one in OUTCOME.steps]
    assert streamed == pytest.approx((0.1, 0.0))


# ---------------------------------------------------------------------------- compression scale


def test_compression_scales_agree_at_ten_steps_and_only_there() -> None:
    step_scale, episode_scale = scaled("fine-mem", "step"), scaled("fine-mem", "episode")
    assert compression_weight(step_scale, 10) == compression_weight(episode_scale, 10) == 0.05
    assert compression_weight(episode_scale, 40) == pytest.approx(0.0125)  # .05·10/40
    assert compression_weight(episode_scale, 5) == pytest.approx(0.1)  # .05·10/5


def test_compression_total_grows_with_the_length_under_step_only() -> None:
    assert compression_total(scaled("fine-mem", "step"), 219) == pytest.approx(10.95)  # 219·.05
    assert compression_total(scaled("fine-mem", "episode"), 219) == pytest.approx(0.5)  # 10·.05
    assert compression_total(scaled("mem-alpha", "episode"), 219) == pytest.approx(10.95)


def test_under_step_an_empty_memory_beats_a_perfect_one_on_long_episodes() -> None:
    # T = 100, w2 = .05. Empty: 0 + 100·.05·1 = 5. Perfect answers from 40 % of the tokens:
    # 1 + 100·.05·.6 = 4. Under "episode": .5 against 1 + .5·.6 = 1.3.
    steps = (step(),) * 100
    empty = EpisodeOutcome(steps, (FinalOutcome(0.0, ()),), 0, 1000)
    perfect = EpisodeOutcome(steps, (FinalOutcome(1.0, (written_at(0),)),), 400, 1000)
    by_step, by_episode = scaled("fine-mem", "step"), scaled("fine-mem", "episode")
    assert closing_reward(empty, by_step) == pytest.approx(5.0)
    assert closing_reward(perfect, by_step) == pytest.approx(4.0)
    assert closing_reward(empty, by_episode) == pytest.approx(0.5)
    assert closing_reward(perfect, by_episode) == pytest.approx(1.3)


# ------------------------------------------------------------------------------------- validity


def outcome_with(
    finals: tuple[FinalOutcome, ...] = (FinalOutcome(1.0, ()),),
    chunk_scores: tuple[tuple[float | None, ...], ...] = ((),),
) -> EpisodeOutcome:
    return EpisodeOutcome(
        tuple(StepOutcome(1, 1, 0, scores) for scores in chunk_scores), finals, 0, 10
    )


@pytest.mark.parametrize(
    "failed, total, expected",
    [
        (0, 1, True),
        (1, 1, False),  # nothing answered
        (1, 9, False),  # 11 %
        (1, 10, True),  # 10 % is not more than 10 %
        (2, 19, False),  # 10.5 %
        (10, 100, True),
        (11, 100, False),
        (0, 0, True),  # nothing was asked, nothing failed
    ],
)
def test_episode_valid(failed: int, total: int, expected: bool) -> None:
    finals = tuple(FinalOutcome(1.0, (), failed=index < failed) for index in range(total))
    assert episode_valid(finals) is expected


def test_a_step_is_invalid_when_all_its_chunk_questions_failed() -> None:
    outcome = outcome_with(chunk_scores=((None, None), (None, 0.0), (), (1.0,)))
    assert step_valid(outcome, REWARDS["fine-mem"]) == (False, True, True, True)


def test_a_term_of_weight_zero_invalidates_nothing() -> None:
    outcome = outcome_with(chunk_scores=((None,), (1.0,)))
    assert step_valid(outcome, REWARDS["outcome"]) == (True, True)


def test_too_many_failed_finals_invalidate_every_row() -> None:
    finals = (FinalOutcome(1.0, ()), FinalOutcome(0.0, (), failed=True))
    outcome = outcome_with(finals, ((1.0,), ()))
    assert step_valid(outcome, REWARDS["fine-mem"]) == (False, False)


def test_nothing_answered_scores_zero_and_is_flagged() -> None:
    outcome = outcome_with((FinalOutcome(0.0, (B,), failed=True),), ((None,), (None,)))
    settings = REWARDS["fine-mem"]
    # Only r_fmt = 1 and w2·r_comp = .05·1 are left.
    assert step_rewards(outcome, settings) == pytest.approx((1.05, 1.05))
    assert step_valid(outcome, settings) == (False, False)


# ----------------------------------------------------------------------------------------- info


def test_terms_are_unweighted_and_zero_until_known() -> None:
    keys = ["format", "chunk_qa", "compression", "global", "content"]
    before = terms(OUTCOME.steps[0])
    assert list(before) == keys
    assert list(before.values()) == pytest.approx([0.75, 0.75, 0.0, 0.0, 0.5])
    after = terms(OUTCOME.steps[1], OUTCOME)
    assert list(after) == keys
    assert list(after.values()) == pytest.approx([0.5, 0.5, 0.8, 0.75, 0.0])
    assert all(type(value) is float for value in (*before.values(), *after.values()))


# ------------------------------------------------------------------------------------- exploits


def test_padding_with_skips_lowers_the_format_reward() -> None:
    # One wrong INSERT beside nine SKIPs. Were SKIP accepted anywhere: 9/10. It is rejected unless
    # it stands alone, so none of the ten is accepted.
    accepted_anywhere = format_reward(step(10, 9))
    assert accepted_anywhere == pytest.approx(0.9)
    assert format_reward(step(10, 0)) == 0.0
    # A correct INSERT alone earns 1, with nine SKIPs beside it 1/10.
    assert format_reward(step(1, 1)) == 1.0
    assert format_reward(step(10, 1)) == pytest.approx(0.1)


def test_a_full_memory_neither_punishes_nor_hides_other_mistakes() -> None:
    # One right, one wrong, eight that hit the budget. Counted as rejections: 1/10; as successes:
    # 9/10, so flooding a full memory would hide the mistake. Out of the denominator: 1/2.
    assert format_reward(step(10, 1, 8)) == pytest.approx(0.5)
    assert format_reward(step(2, 1)) == format_reward(step(1002, 1, 1000))


def test_storing_more_takes_credit_from_others_only_under_equal_shares() -> None:
    # Step 0 wrote the gold sentence; step 1 stored three items that merely share words with the
    # question. The answer scores 1 with or without them, and cites the gold sentence.
    gold, noise = written_at(0), written_at(1)
    alone = FinalOutcome(1.0, (gold,), used=((0, 0),), without=(0.0,))
    crowded = FinalOutcome(
        1.0, (gold, noise, noise, noise), used=((0, 0),), without=(0.0, 1.0, 1.0, 1.0)
    )

    def gain(mode: str) -> float:
        return evidence_credit((crowded,), mode, 2)[1] - evidence_credit((alone,), mode, 2)[1]

    assert gain("last_write") == pytest.approx(0.75)  # 3 of 4 equal shares
    assert gain("all_writes") == pytest.approx(0.75)
    assert gain("leave_one_out") == 0.0
    assert gain("cited") == 0.0


def test_appending_to_an_item_takes_its_whole_credit_only_under_last_write() -> None:
    # Step 1 adds a sentence of its own to the item that step 0 wrote; the answer is in step 0's.
    item = ShownItem(step=1, writers=(0, 1), sentence_steps=(0, 1))
    final = FinalOutcome(1.0, (item,), used=((0, 0),))
    assert shares(final, "last_write", 2) == (0.0, 1.0)
    assert shares(final, "all_writes", 2) == (0.5, 0.5)
    assert shares(final, "leave_one_out", 2) == (0.5, 0.5)
    assert shares(final, "cited", 2) == (1.0, 0.0)


def test_many_sentences_in_one_step_count_once() -> None:
    # An item padded to nine sentences by step 1 still splits its share by distinct steps.
    item = ShownItem(step=1, writers=(0, 1), sentence_steps=(0,) + (1,) * 9)
    assert shares(FinalOutcome(1.0, (item,)), "leave_one_out", 2) == (0.5, 0.5)


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("asked_after", [-1, 3, 10])
def test_asked_after_outside_the_episode_is_refused(asked_after: int) -> None:
    final = FinalOutcome(1.0, (), asked_after=asked_after)
    with pytest.raises(ValueError, match=r"asked_after: expected a step in \[0, 3\)"):
        shares(final, "last_write", 3)
    with pytest.raises(ValueError, match="asked_after"):
        eara((final,), RewardSettings("x"), 3)


def test_an_item_from_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="written at step 2, but only 2 steps"):
        shares(FinalOutcome(1.0, (A,), asked_after=1), "last_write", 4)
    with pytest.raises(ValueError, match="written at step 2"):
        eara((FinalOutcome(1.0, (A,)),), RewardSettings("x"), 2)


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan])
def test_scores_outside_the_unit_interval_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"expected a number in \[0, 1\]"):
        FinalOutcome(score, ())
    with pytest.raises(ValueError, match=r"without: expected numbers in \[0, 1\]"):
        FinalOutcome(1.0, (A, B), without=(None, score))
    with pytest.raises(ValueError, match=r"expected scores in \[0, 1\]"):
        StepOutcome(1, 1, 0, (score,))
    with pytest.raises(ValueError, match=r"expected scores in \[0, 1\]"):
        StepOutcome(1, 1, 0, (), (score,))


@pytest.mark.parametrize("counts", [(1, 2, 0), (1, 1, 1), (-1, 0, 0), (2, -1, 0), (2, 0, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="StepOutcome: expected 0"):
        StepOutcome(*counts)


def test_other_impossible_records_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        EpisodeOutcome((), (), 0, 0)
    with pytest.raises(ValueError, match="token counts"):
        EpisodeOutcome((step(),), (), -1, 0)
    with pytest.raises(ValueError, match="steps ≥ 0"):
        ShownItem(-1, (), ())
    with pytest.raises(ValueError, match="one score for each of 2"):
        FinalOutcome(1.0, (A, B), without=(1.0,))


def test_the_example_of_the_docs_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\s*```\n(.*?)```", page, re.DOTALL)
    assert found is not None
    exec(compile(found[1], "docs/rewards.md", "exec"), {})
    assert capsys.readouterr().out == found[2]

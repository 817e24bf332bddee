"""Where does the credit of an answer land?  `python -m benchmarks.credit_assignment --help`.

A policy that stores most sentences which answer a final question and few others acts in the real
environments, 8 rollouts a context, one item a sentence. Measured for every way of placing credit:

1. per question answered with s_j > 0, the share of its credit on the steps that read its gold
   evidence;
2. the gradient of r_t on "store a sentence that is never asked", by the score function with
   leave-one-out baselines over the group: an unbiased estimate of Σ_t ∂E[r_t]/∂(logit at step t),
   which is what learning from a step's own reward climbs.

Only questions whose evidence is known to the sentence take part: of the others (FairytaleQA's
paraphrased answers) nobody knows which sentences are never asked.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.learn.advantages import Estimator, compute_advantages
from benchmarks.credit_run import STUDIED, reward_of
from benchmarks.estimates import estimate
from benchmarks.gold import gold_share
from benchmarks.policy import UPDATE, KindOf, KindPolicy
from benchmarks.rollout import KindRollout, make_group, play, policy_gradient, reward_rows
from finemem_env.cli.frame import Parser, command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.progress import Progress, begin
from finemem_env.cli.tables import markdown_table
from finemem_env.errors import ConfigError, nearest
from finemem_env.rewards import RewardSettings, Weights
from finemem_env.session import Session
from finemem_env.text import sentence_key
from finemem_env.types import Question

GROUP = 8
EVIDENCE, OTHER = "evidence", "never asked"
STORED = {EVIDENCE: 0.95, OTHER: 0.10}

ATTRIBUTIONS: dict[str, str | None] = {
    "uniform": None,
    "last_write": "last_write",
    "all_writes": "all_writes",
    "leave_one_out": "leave_one_out",
    "cited": "cited",
}
_ONLY_FINAL = Weights(format=0.0, chunk_qa=0.0, compression=0.0)


@dataclass(frozen=True, slots=True)
class Bench:
    """A source in its environment. `merging`: events are added to the tally they belong to."""

    env_id: str
    source: str
    merging: bool = False


SOURCES: dict[str, Bench] = {
    "hotpotqa": Bench("FineMem-AR-v0", "hotpotqa"),
    "squad": Bench("FineMem-AR-v0", "squad"),
    "fairytaleqa": Bench("FineMem-LRU-v0", "fairytaleqa"),
    "synthetic_ar": Bench("FineMem-AR-v0", "synthetic"),
    "synthetic_cr": Bench("FineMem-CR-v0", "synthetic"),
    "synthetic_lru": Bench("FineMem-LRU-v0", "synthetic", merging=True),
}
# Every answer is repeated with each item removed, so that one rollout serves all attributions.
_KEYWORDS: dict[str, Any] = {
    "reward": "fine-mem",
    "attribution": "leave_one_out",
    "memory_budget": "unlimited",
    "max_operations": "unlimited",
}


@dataclass
class Measurement:
    """What one source gave; lists have one entry a context. `questions` counts s_j > 0."""

    scores: list[float] = field(default_factory=list)
    shares: dict[str, list[float]] = field(default_factory=dict)
    gradients: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    questions: int = 0


def measure(
    bench: Bench,
    contexts: int,
    seed: int,
    advance: Callable[[str], None],
    **keywords: Any,  # noqa: ANN401
) -> Measurement:
    """Play `contexts` groups of 8 rollouts and measure each.

    Args:
        bench: source and environment.
        contexts: how many.
        seed: of the contexts and of the policy.
        advance: told after each context.
        **keywords: more keywords of the environment.
    """
    env = make_group(bench.env_id, GROUP, source=bench.source, **_KEYWORDS | keywords)
    policy = _policy(bench.merging)
    rng = np.random.default_rng([seed, 1])
    measurement = Measurement()
    for number in range(contexts):
        start = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        rollouts = play(env, policy, [start] * GROUP, evidence_kinds, rng)
        rollouts = [_known(rollout) for rollout in rollouts]
        if rollouts[0].finals:
            _add_shares(measurement, rollouts)
            _add_gradients(measurement, rollouts, policy)
        advance(bench.source)
    return measurement


def evidence_kinds(session: Session) -> KindOf:
    """Tells the sentences that answer a final question of this episode from all others."""
    gold = {
        (entry.chunk, sentence_key(entry.sentence))
        for question in session.finals
        for entry in question.evidence
        if entry.sentence is not None
    }
    return lambda chunk, sentence: EVIDENCE if (chunk, sentence_key(sentence)) in gold else OTHER


def _policy(merging: bool) -> KindPolicy:
    logits = [float(np.log(chance / (1 - chance))) for chance in STORED.values()]
    names = list(STORED)
    return KindPolicy([*names, UPDATE], [*logits, 50.0]) if merging else KindPolicy(names, logits)


def _known(rollout: KindRollout) -> KindRollout:
    """The same rollout with only those questions whose evidence is known to the sentence."""
    finals = tuple((question, final) for question, final in rollout.finals if _located(question))
    outcome = dataclasses.replace(rollout.outcome, finals=tuple(final for _, final in finals))
    return dataclasses.replace(rollout, finals=finals, outcome=outcome)


def _located(question: Question) -> bool:
    return bool(question.evidence) and all(entry.sentence for entry in question.evidence)


def _add_shares(measurement: Measurement, rollouts: Sequence[KindRollout]) -> None:
    pairs = [
        (question, final, len(rollout.outcome.steps))
        for rollout in rollouts
        for question, final in rollout.finals
    ]
    measurement.scores.append(float(np.mean([final.score for _, final, _ in pairs])))
    for name, attribution in ATTRIBUTIONS.items():
        placed = (gold_share(question, final, attribution, t) for question, final, t in pairs)
        shares = [share for share in placed if share is not None]
        if shares:
            measurement.shares.setdefault(name, []).append(float(np.mean(shares)))
    measurement.questions += sum(final.score > 0 for _, final, _ in pairs)


def _add_gradients(
    measurement: Measurement, rollouts: Sequence[KindRollout], policy: KindPolicy
) -> None:
    for name, (settings, estimator) in _signals().items():
        rows = [reward_rows(rollout, settings) for rollout in rollouts]
        gradient = policy_gradient(rollouts, compute_advantages(rows, estimator).values)
        for kind in STORED:
            value = float(gradient[policy.names.index(kind)])
            measurement.gradients.setdefault((name, kind), []).append(value)


def _signals() -> dict[str, tuple[RewardSettings, Estimator]]:
    """Rewards whose gradient is measured, by name.

    Attribution modes: r_EARA(t) alone with β = 1; "…/cell": its advantages as in the paper, in
    units of the spread within (context, step); "final": the return, which is the truth and noisy;
    presets: r_t whole.
    """
    raw = Estimator(credit="step", center="leave_one_out", scale="none")
    paper = Estimator(credit="step", scale="cell", floor=0.0)
    signals = {}
    for name, attribution in ATTRIBUTIONS.items():
        beta = 0.0 if attribution is None else 1.0
        settings = RewardSettings(name, attribution or "last_write", beta, _ONLY_FINAL)
        signals[name] = (settings, raw)
        signals[f"{name}/cell"] = (settings, paper)
    final = RewardSettings("final", beta=0.0, weights=_ONLY_FINAL)
    signals["final"] = (final, Estimator(credit="return", center="leave_one_out", scale="none"))
    for name in STUDIED:
        signals[name] = (reward_of(name), raw)
    return signals


def _credit_table(measurements: dict[str, Measurement]) -> str:
    rows = []
    for source, measurement in measurements.items():
        shares = [estimate(measurement.shares.get(name, [])).text() for name in ATTRIBUTIONS]
        rows.append([source, "credit on gold steps", *shares, "-"])
        for kind in (OTHER, EVIDENCE):
            rows.append(
                [source, f"gradient, {kind} (x100)"]
                + [_hundredths(measurement, name, kind) for name in (*ATTRIBUTIONS, "final")]
            )
        cells = [measurement.gradients.get((f"{name}/cell", OTHER), []) for name in ATTRIBUTIONS]
        texts = [estimate(values).text(1, sign=True) for values in cells]
        rows.append([source, f"paper's advantages, {OTHER}", *texts, "-"])
    return markdown_table(["source", "measured", *ATTRIBUTIONS, "final score"], rows, padded=True)


def _preset_table(measurements: dict[str, Measurement]) -> str:
    rows = [
        [source, str(measurement.questions), estimate(measurement.scores).text()]
        + [_hundredths(measurement, name, OTHER) for name in STUDIED]
        for source, measurement in measurements.items()
    ]
    return markdown_table(["source", "s_j > 0", "score", *STUDIED], rows, padded=True)


def _hundredths(measurement: Measurement, name: str, kind: str) -> str:
    values = measurement.gradients.get((name, kind), [])
    return estimate([100 * value for value in values]).text(1, sign=True)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sources and print the two tables."""
    options = _parser().parse_args(arguments)
    names = options.source or list(SOURCES)
    for name in names:
        if name not in SOURCES:
            raise ConfigError(nearest("source", name, SOURCES))
    begin(f"{options.episodes} contexts of each of {', '.join(names)}")
    with Progress(len(names) * options.episodes, "context") as advance:
        measurements = {
            name: measure(SOURCES[name], options.episodes, options.seed, advance) for name in names
        }
    print(_credit_table(measurements))
    print(f"\nGradient of whole rewards r_t, {OTHER} (x100):\n")
    print(_preset_table(measurements))
    return 0


def _parser() -> Parser:
    parser = program(
        "benchmarks.credit_assignment",
        "Measure where the credit of right answers lands, and what it teaches.",
        "Real data is looked for in $FINEMEM_DATA. Entries are means over contexts with their "
        "95 % interval.",
    )
    add = parser.add_argument
    add("--source", action="append", help=f"may be repeated: {', '.join(SOURCES)} (default: all)")
    add("--episodes", type=positive, default=100, help="contexts a source")
    add_seed(parser, "of contexts and policy")
    return parser


if __name__ == "__main__":
    sys.exit(main())

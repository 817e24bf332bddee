"""The only definition of answer matching: `score(prediction, question)` in [0, 1].

`metrics` dispatches on the name, `matching` has the normal forms. The published metrics are kept
rule by rule, oddities included: "mem-alpha/…" (arXiv 2509.25911) and "mab/…" (MemoryAgentBench,
arXiv 2507.05257); numbers of different dialects must not be mixed. `judged` are those that a judge
decides.
"""

from finemem_env.scoring.matching import strip_reasoning
from finemem_env.scoring.metrics import (
    METRICS,
    Metric,
    gold_prediction,
    is_judged,
    judge_requests,
    judged_score,
    needs_judge,
    score,
)

__all__ = [
    "METRICS",
    "Metric",
    "gold_prediction",
    "is_judged",
    "judge_requests",
    "judged_score",
    "needs_judge",
    "score",
    "strip_reasoning",
]

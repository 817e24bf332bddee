"""What leaves the process: the part of `info` that a trainer elsewhere may have, as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from finemem_env.session import public

# Numbers about the agent's doing; questions, answers and golds stay here.
_LEARNER = ("score", "reward_terms", "step_rewards", "step_reward_valid", "evidence_credit")


def step_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """`info` of one step as JSON values: what `session.public` keeps, and what a learner needs.

    Beside the public keys: score, reward_terms, step_rewards, step_reward_valid and evidence_credit
    (the last three empty until the episode's end), and rejects, how many operations of the step
    were refused for which reason. No question, answer or gold.

    Args:
        info: of a single environment's `reset` or `step`.
    """
    kept = public(info) | {key: info[key] for key in _LEARNER}
    refused = [operation["reason"] for operation in info["operations"] if not operation["accepted"]]
    kept["rejects"] = dict(Counter(refused))
    plain: dict[str, Any] = json.loads(json.dumps(kept))
    return plain

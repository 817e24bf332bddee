"""Every reward of an episode, as pure functions of frozen outcomes; no model is called here.

`formulas` has the terms and their sum, `attribution` says which step a final answer pays, `presets`
are the rewards by name.
"""

from finemem_env.rewards.attribution import FinalOutcome, ShownItem, shares
from finemem_env.rewards.formulas import EpisodeOutcome, StepOutcome, step_rewards
from finemem_env.rewards.presets import REWARDS, Attribution, RewardSettings, Weights

__all__ = [
    "REWARDS",
    "Attribution",
    "EpisodeOutcome",
    "FinalOutcome",
    "RewardSettings",
    "ShownItem",
    "StepOutcome",
    "Weights",
    "shares",
    "step_rewards",
]

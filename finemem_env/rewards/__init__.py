"""Every reward of an episode, as pure functions of frozen outcomes; no model is called here.

`formulas` has the terms and their sum, `attribution` says which step a final answer pays, by the
`rules` that have a name; `presets` are the rewards by name.
"""

from finemem_env.rewards.formulas import EpisodeOutcome, StepOutcome, step_rewards
from finemem_env.rewards.presets import REWARDS, RewardSettings, Weights
from finemem_env.rewards.rules import ATTRIBUTIONS, Attribution, FinalOutcome, ShownItem

__all__ = [
    "ATTRIBUTIONS",
    "REWARDS",
    "Attribution",
    "EpisodeOutcome",
    "FinalOutcome",
    "RewardSettings",
    "ShownItem",
    "StepOutcome",
    "Weights",
    "step_rewards",
]

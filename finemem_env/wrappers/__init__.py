"""Wrappers that make the text environments fit for classic agents such as stable-baselines3.

`draft` turns numbers into operations, `features` turns a situation into numbers.
"""

from finemem_env.wrappers.draft import Draft, make_draft
from finemem_env.wrappers.wrappers import DiscreteOperations, FeatureObservation, feature_array

__all__ = ["DiscreteOperations", "Draft", "FeatureObservation", "feature_array", "make_draft"]

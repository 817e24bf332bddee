"""Checks that third parties can run on what they build.

from finemem_env.testing import check_agent, trajectory_hash
check_agent(MyAgent)                         # raises ConformanceError with all that is wrong
assert trajectory_hash(env, actions, seed=0) == trajectory_hash(other, actions, seed=0)
"""

from finemem_env.testing.conformance import (
    ConformanceError,
    check_agent,
    check_environment,
    check_reader,
)
from finemem_env.testing.hashing import canonical, trajectory_hash

__all__ = [
    "ConformanceError",
    "canonical",
    "check_agent",
    "check_environment",
    "check_reader",
    "trajectory_hash",
]

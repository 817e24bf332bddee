"""A reward of your own: weights and a rule of attribution, registered by name.

Every reward is a function of the same finished episode, so one run shows them side by side.
"""

import gymnasium as gym

import finemem_env
from baselines.agents import make_agent
from finemem_env.rewards import Weights


def newest(final):
    """All credit of an answer to the newest item that the reader was shown."""
    return [(1.0, (max(item.step for item in final.shown),))]


finemem_env.register("attribution", "newest", newest)
finemem_env.register(
    "reward", "newest-first", {"attribution": "newest", "weights": Weights(compression=0.0)}
)

for reward in ("fine-mem-earned", "fine-mem", "newest-first"):
    env = gym.make("FineMem-CR-v0", reward=reward, num_chunks=5)
    agent = make_agent("salience")
    observation, info = env.reset(seed=0)
    agent.reset(info)
    rewards, over = [], False
    while not over:
        observation, streamed, over, _, info = env.step(agent.act(observation, info))
        rewards.append(streamed)
    steps = " ".join(f"{step:6.3f}" for step in info["step_rewards"])
    print(f"{reward:16} {steps}  sum {sum(info['step_rewards']):.3f}")
    assert abs(sum(rewards) - sum(info["step_rewards"])) < 1e-9  # attribution moves, never adds

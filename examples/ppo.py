"""PPO in one file, as CleanRL writes it (extra train): python examples/ppo.py [CHOICES]."""

import sys

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

from finemem_env.wrappers import DiscreteOperations, FeatureObservation

CHOICES, BATCH, EPOCHS, LAMBDA, CLIP = int((sys.argv[1:] or ["40000"])[0]), 512, 4, 0.95, 0.2
torch.manual_seed(0)
torch.set_num_threads(1)  # the network is small
env = FeatureObservation(DiscreteOperations(gym.make("FineMem-CR-v0", num_chunks=4)))
size, actions = env.observation_space.shape[0], int(env.action_space.n)
actor = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, actions))
critic = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 1), nn.Flatten(0))
parameters = [*actor.parameters(), *critic.parameters()]
optimizer = torch.optim.Adam(parameters, lr=1e-3, eps=1e-5)


def policy(states, masks):
    return Categorical(logits=actor(states).masked_fill(~masks, -1e9))


state, scores = torch.as_tensor(env.reset(seed=0)[0]), []
for _ in range(CHOICES // BATCH):
    states, masks, chosen, rewards, ends = [], [], [], [], []
    for _ in range(BATCH):
        states.append(state)
        masks.append(torch.as_tensor(env.get_wrapper_attr("action_masks")()))
        with torch.no_grad():
            chosen.append(policy(state[None], masks[-1][None]).sample())
        observation, reward, over, _, info = env.step(np.int64(chosen[-1].item()))
        rewards.append(reward)
        ends.append(over)
        if over:
            scores.append(info["score"])
            observation, _ = env.reset()
        state = torch.as_tensor(observation)
    states, masks, chosen = torch.stack(states), torch.stack(masks), torch.cat(chosen)
    with torch.no_grad():
        values = critic(torch.cat([states, state[None]]))
        old = policy(states, masks).log_prob(chosen)
    advantages, last = torch.zeros(BATCH), 0.0
    for t in reversed(range(BATCH)):  # no discount: episodes end
        last = rewards[t] - values[t] + (not ends[t]) * (values[t + 1] + LAMBDA * last)
        advantages[t] = last
    returns, scaled = advantages + values[:-1], (advantages - advantages.mean()) / advantages.std()
    for rows in [rows for _ in range(EPOCHS) for rows in torch.randperm(BATCH).split(128)]:
        ratio = (policy(states[rows], masks[rows]).log_prob(chosen[rows]) - old[rows]).exp()
        gain = torch.min(ratio * scaled[rows], ratio.clamp(1 - CLIP, 1 + CLIP) * scaled[rows])
        loss = 0.5 * (critic(states[rows]) - returns[rows]).pow(2).mean() - gain.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
    print(f"{len(scores):5} episodes, score of the last fifty {np.mean(scores[-50:]):.3f}")

"""A training loop of your own: G rollouts of one context, an advantage for every step, a gradient.

The policy keeps a sentence with probability σ(w·features). Rewards are compared step by step within
the group, as Fine-Mem does. numpy only: python examples/own_loop.py [UPDATES]
"""

import json
import sys
from zlib import crc32

import gymnasium as gym
import numpy as np

from finemem_env.text import split_sentences

G, BINS, RATE = 8, 64, 4.0
UPDATES = int((sys.argv[1:] or ["60"])[0])
rng = np.random.default_rng(0)
weights = np.zeros(BINS)


def features(sentence):
    """Which bins its words fall into; names and numbers are all alike."""
    features = np.zeros(BINS)
    for place, word in enumerate(sentence.split()):
        name = any(map(str.isdigit, word)) or (place and word[:1].isupper())
        features[crc32(b"<name>" if name else word.lower().encode()) % BINS] = 1
    return features


def act(observation):
    """An action, and the gradient of its log-probability."""
    chunk = observation.split("<chunk", 1)[1].split(">\n", 1)[1].split("\n</chunk>")[0]
    kept, gradient = [], np.zeros_like(weights)
    for sentence in split_sentences(chunk):
        x = features(sentence)
        p = 1 / (1 + np.exp(-weights @ x))
        keep = rng.random() < p
        gradient += (keep - p) * x
        kept += [{"op": "INSERT", "content": sentence}] if keep else []
    return json.dumps(kept or [{"op": "SKIP"}]), gradient


envs = gym.make_vec("FineMem-AR-v0", num_envs=G, autoreset_mode="disabled", num_chunks=3)
for update in range(UPDATES):
    observations, infos = envs.reset(seed=[update] * G)  # the same context G times
    gradients, over = [], np.zeros(G, bool)
    while not over.any():  # all end together: T is the number of chunks
        actions, step = zip(*map(act, observations), strict=True)
        gradients.append(step)
        observations, _, over, _, infos = envs.step(actions)
    rewards = np.array([infos["step_rewards"][g] for g in range(G)])  # (G, T)
    rewards = rewards[:, ::-1].cumsum(1)[:, ::-1]  # to go: what is kept now fills the memory later
    advantages = (rewards - rewards.mean(0)) / (rewards.std(0, ddof=1) + 1e-4)
    weights += RATE * np.einsum("gt,tgf->f", advantages, np.array(gradients)) / rewards.size
    print(f"update {update}: score {np.mean(infos['score']):.3f}")

"""TRL's GRPOTrainer on the environment: a fresh prompt and a reward of its own for every step.

A row of the data set is "seed step". The rollout function plays each episode G times and gives the
row its G prompts, replies and step rewards: python examples/trl_grpo.py [UPDATES] (extra dev)
"""

import sys
from collections import defaultdict
from tempfile import TemporaryDirectory

import gymnasium as gym
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from agents.assets import tiny_folder
from agents.runs.config import CPU_ENV_ARGS

torch.set_num_threads(1)  # the packaged model is small
UPDATES, T, G = int((sys.argv[1:] or ["20"])[0]), 3, 4
tokenizer = AutoTokenizer.from_pretrained(tiny_folder(), padding_side="left")
task = {**CPU_ENV_ARGS, "num_chunks": T, "autoreset_mode": "disabled"}
envs = gym.make_vec("finemem_env:FineMem-AR-v0", num_envs=G, **task)


def generate(model, observations):
    chat = [[{"role": "user", "content": text}] for text in observations]
    texts = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    made = model.generate(**batch, do_sample=True, max_new_tokens=128)[:, len(batch.input_ids[0]) :]
    prompts = [row[mask == 1].tolist() for row, mask in zip(*batch.values(), strict=True)]
    return prompts, [row[row != tokenizer.pad_token_id].tolist() for row in made]


def rollout(prompts, trainer):
    """Play every episode that `prompts` name; TRL repeats each prompt G times, in order."""
    rows = defaultdict(list)
    for seed in dict.fromkeys(prompt.split()[0] for prompt in prompts):
        observations, _ = envs.reset(seed=[int(seed)] * G)
        steps = []
        while len(steps) < T:
            steps.append(generate(trainer.accelerator.unwrap_model(trainer.model), observations))
            actions = tokenizer.batch_decode(steps[-1][1], skip_special_tokens=True)
            observations, _, _, _, infos = envs.step(actions)
        for t, step in enumerate(steps):
            earned = [row[t] for row in infos["step_rewards"]]
            rows[f"{seed} {t}"] = list(zip(*step, earned, strict=True))
        print(f"episode {seed}: score {infos['score'].mean():.3f}")
    asked, replies, rewards = map(list, zip(*[rows[one].pop(0) for one in prompts], strict=True))
    return dict(prompt_ids=asked, completion_ids=replies, logprobs=None, step_reward=rewards)


with TemporaryDirectory() as folder:
    rows = {"per_device_train_batch_size": T * G, "num_generations": G, "shuffle_dataset": False}
    config = GRPOConfig(folder, **rows, max_steps=UPDATES, bf16=False, report_to=[])
    data = Dataset.from_list([{"prompt": f"{s} {t}"} for s in range(UPDATES) for t in range(T)])
    model = AutoModelForCausalLM.from_pretrained(tiny_folder())
    parts = {"processing_class": tokenizer, "rollout_func": rollout}
    GRPOTrainer(model, lambda step_reward, **_: step_reward, config, data, **parts).train()

"""TRL's GRPOTrainer on the environment: a fresh prompt and a reward of its own for every step.

The packaged small model, on short episodes: python examples/trl_grpo.py [UPDATES] (extra trl)
"""

import sys
from tempfile import TemporaryDirectory

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOTrainer

from agents.assets import tiny_folder
from agents.runs.config import CPU_ENV_ARGS
from finemem_env.integrations.trl import StepTask

torch.set_num_threads(1)  # the packaged model is small
updates = int((sys.argv[1:] or ["20"])[0])
task = StepTask(
    "FineMem-AR-v0",
    group_size=4,
    updates=updates,
    env_args={**CPU_ENV_ARGS, "num_chunks": 3},
    instructions=False,  # this model was taught without them
)
with TemporaryDirectory() as folder:
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_folder(), dtype=torch.float32),
        task.reward,
        task.config(folder, learning_rate=3e-4, logging_steps=1, bf16=False, save_strategy="no"),
        task.dataset(),
        processing_class=AutoTokenizer.from_pretrained(tiny_folder(), padding_side="left"),
        rollout_func=task.roll_out,
    )
    trainer.train()
for line in trainer.state.log_history[:updates]:
    print(f"update {line['step']}: score {line['score']:.3f}, reward {line['reward']:.3f}")

"""What the processes of `forks` start with: all that they import, and a model loaded once."""

from __future__ import annotations

import gc

import torch._dynamo  # by the first optimizer of a process, for two seconds
import transformers.models.qwen3.modeling_qwen3  # noqa: F401

import agents.trainer  # noqa: F401
from agents.assets import tiny_folder
from agents.model.policy import load_policy
from agents.settings import ModelConfig

torch.set_num_threads(1)
load_policy(ModelConfig(str(tiny_folder()), device="cpu"))
gc.freeze()  # so that looking for garbage takes no time in the forks

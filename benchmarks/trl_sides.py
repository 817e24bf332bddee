"""The two sides of `benchmarks.trl_speed`: each a process that does updates when told to.

Reads a number of updates per line, answers each with a line of JSON, ends at the end of the input.
The reward is a function of the reply's text, so both sides decode what they sampled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from benchmarks.trl_speed import Round, UpdateTask
from finemem_env.backends.options import read_options
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import json_object

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_LR = 1e-5


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the side that the command line names."""
    parser = program("benchmarks.trl_sides", __doc__)
    parser.add_argument("side", type=_side, help="ours or trl/MICRO_BATCHES")
    parser.add_argument("task", type=json_object, help="fields of an UpdateTask as JSON")
    options = parser.parse_args(arguments)
    name, task = options.side, read_options(UpdateTask, options.task, "task")
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if name != "ours":
        warnings.simplefilter("ignore")
    run_side(name, task, answers)
    return 0


def _side(text: str) -> str:
    """An option that names a side."""
    if not re.fullmatch("ours|trl/[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"expected ours or trl/MICRO_BATCHES, got {text!r}")
    return text


def run_side(name: str, task: UpdateTask, answers: TextIO) -> None:
    """Do the updates that standard input asks for and write what they took to `answers`."""
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    if name == "ours":
        _ours(task, answers)
    else:
        _trl(task, int(name.split("/")[1]), answers)


def build(task: UpdateTask) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model of 0.79M parameters, and a tokenizer for which a word is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from agents.model.tiny import TinyConfig, build_model

    words = {"<pad>": 0, "<end>": 1} | {f"w{i}": i for i in range(2, task.vocabulary)}
    raw = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=raw, pad_token="<pad>", eos_token="<end>", padding_side="left"
    )
    return build_model(tokenizer, TinyConfig(intermediate_size=352)), tokenizer


def reward(text: str) -> float:
    """Different words in a reply, by fifty."""
    return len(set(text.split())) / 50


def _texts(task: UpdateTask) -> list[str]:
    return [" ".join(f"w{token}" for token in ids) for ids in task.prompts()]


def _peak(task: UpdateTask) -> int:
    import torch

    if task.device == "cpu":
        return _resident()
    return torch.cuda.max_memory_allocated()


_marks: list[int] = []


def _resident() -> int:
    """Most bytes of this process in memory so far: the highest of the marks that were read.

    The kernel adds its counters up roughly, so a later mark can be a little lower.
    """
    _marks.append(_mark())
    return max(_marks)


def _mark() -> int:
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        # Linux lets a child's ru_maxrss start at what its parent held.
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _now(task: UpdateTask) -> float:
    import torch

    if task.device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def _say(answers: TextIO, values: dict[str, Any]) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


def _report(
    task: UpdateTask, answers: TextIO, start: float, busy: float, sample: float, updates: int
) -> None:
    """Answer an order that began at `start`, and at `busy` in CPU time."""
    seconds, cpu = _now(task) - start, time.process_time() - busy
    _say(answers, Round(seconds, cpu, sample, updates, _peak(task))._asdict())


def _orders() -> Iterator[int]:
    for line in sys.stdin:
        yield int(line)


# ours


def _ours(task: UpdateTask, answers: TextIO) -> None:
    import torch

    import agents.learn.update  # noqa: F401 - here, so that it counts as an import
    from agents.model.allocator import keep_memory
    from agents.model.policy import Policy

    model, tokenizer = build(task)
    _say(answers, {"imports": _resident()})
    keep_memory()  # as the trainer does
    autocast = torch.bfloat16 if task.mixed else None
    policy = Policy(model.to(task.device), tokenizer, autocast=autocast)  # type: ignore[arg-type]
    policy.own.ends = ()  # every reply gets its full length
    update = _our_update(task, policy)
    number = 0
    for count in _orders():
        start, busy, sample = _now(task), time.process_time(), 0.0
        for _ in range(count):
            sample += update(number)
            number += 1
        _report(task, answers, start, busy, sample, count)


def _our_update(task: UpdateTask, policy: Any) -> Callable[[int], float]:  # noqa: ANN401 - heavy import
    """One update as in `agents.grpo`, on rows of one step; returns the seconds of sampling."""
    import torch

    from agents.learn.advantages import Estimator, RolloutRewards, compute_advantages
    from agents.learn.loss import Denominators
    from agents.learn.update import accumulate_gradients
    from agents.model.batching import Row
    from agents.runs.config import TrainConfig

    config = TrainConfig()
    adam = config.optimizer
    texts, groups = _texts(task), [row // task.group for row in range(task.rows)]
    scorer = policy.scorer(config.sampling.temperature)
    weights = list(policy.model.parameters())
    optimizer = torch.optim.AdamW(weights, _LR, weight_decay=0.0, fused=True)

    def update(number: int) -> float:
        start = _now(task)
        prompts = policy.tokenizer(texts)["input_ids"]
        completions = policy.sample(
            prompts,
            max_new_tokens=task.completion,
            temperature=config.sampling.temperature,
            seed=number,
            groups=groups,
        )
        sampled = _now(task) - start
        rewards = [
            [reward(text)]
            for text in policy.decode([completion.token_ids for completion in completions])
        ]
        outcomes = [
            RolloutRewards(group, value, value, [True])
            for group, value in zip(groups, rewards, strict=True)
        ]
        advantages = compute_advantages(outcomes, Estimator())
        rows = [
            Row(tuple(prompt), reply.token_ids, reply.logprobs, float(values[0]), group=group)
            for prompt, reply, values, group in zip(
                prompts, completions, advantages.values, groups, strict=True
            )
        ]
        lengths = [len(row.completion) for row in rows]
        counts = Denominators.of(lengths, [1.0] * len(rows), max_completion_length=task.completion)
        optimizer.zero_grad()
        accumulate_gradients(scorer, rows, config.loss, counts, micro_tokens=adam.micro_tokens)
        torch.nn.utils.clip_grad_norm_(weights, adam.max_grad_norm)
        optimizer.step()
        if set(lengths) != {task.completion}:
            raise RuntimeError(f"completions of {set(lengths)} tokens.")
        return sampled

    return update


# TRL


def _trl(task: UpdateTask, split: int, answers: TextIO) -> None:
    from datasets import Dataset
    from trl.trainer.grpo_trainer import GRPOTrainer

    model, tokenizer = build(task)
    _say(answers, {"imports": _resident()})
    lengths: set[int] = set()

    class Trainer(GRPOTrainer):
        """TRL's, with a clock, and with rows in the order of the data set, one each."""

        sampled = 0.0

        def _get_train_sampler(self, dataset: Any = None) -> Any:  # noqa: ANN401
            # All rows once per update, as often as TRL asks for the batch it has generated.
            return list(range(task.rows)) * split

        def _generate(self, prompts: Any) -> Any:  # noqa: ANN401
            start = _now(task)
            completions = super()._generate(prompts)
            self.sampled += _now(task) - start
            return completions

    def rewards(
        completions: list[str], completion_ids: list[Any], **_: object
    ) -> list[float | None]:
        lengths.update(len(ids) for ids in completion_ids)
        return [reward(text) for text in completions]

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            reward_funcs=rewards,
            args=_arguments(task, split, folder),
            train_dataset=Dataset.from_list([{"prompt": text} for text in _texts(task)]),
            processing_class=tokenizer,
        )
        trainer.add_callback(_make_callback(task, trainer, answers))
        with contextlib.suppress(_NoMoreOrders):
            trainer.train()
    if lengths != {task.completion}:
        raise RuntimeError(f"completions of {lengths} tokens.")


class _NoMoreOrders(Exception):  # noqa: N818 - not an error
    """Raised between two updates, since TRL cannot be stopped there."""


def _arguments(task: UpdateTask, split: int, folder: str) -> Any:  # noqa: ANN401 - TRL is not typed
    from trl.trainer.grpo_config import GRPOConfig

    return GRPOConfig(
        output_dir=folder,
        use_cpu=task.device == "cpu",
        bf16=task.mixed,
        gradient_checkpointing=False,
        per_device_train_batch_size=task.rows // split,
        gradient_accumulation_steps=split,
        num_generations=task.group,
        max_completion_length=task.completion,
        generation_kwargs={"min_new_tokens": task.completion},
        learning_rate=_LR,
        lr_scheduler_type="constant",
        beta=0.0,
        shuffle_dataset=False,
        max_steps=10**6,
        report_to=[],
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=task.device != "cpu",
        seed=task.seed,
    )


def _make_callback(task: UpdateTask, trainer: Any, answers: TextIO) -> Any:  # noqa: ANN401
    """Waits for orders between updates, and answers them."""
    from transformers import TrainerCallback

    class Turns(TrainerCallback):
        """Holds the trainer while it is not its turn."""

        def __init__(self) -> None:
            self.orders = _orders()
            self.left = self.count = 0
            self.start = self.busy = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            if self.left:
                return
            self.left = self.count = next(self.orders, 0)
            if not self.left:
                raise _NoMoreOrders
            self.start, self.busy, trainer.sampled = _now(task), time.process_time(), 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            self.left -= 1
            if not self.left:
                _report(task, answers, self.start, self.busy, trainer.sampled, self.count)

    return Turns()


if __name__ == "__main__":
    sys.exit(main())

"""What one accelerator makes of a model: `python -m benchmarks.gpu --minutes 8 --output-dir DIR`.

Takes a model by name, a .gguf file or a folder, teaches it the action format on generated text,
trains it by reward, and scores held-out episodes before and after, in about the minutes given.
Prints tokens per second by part, the share of what a plain matrix product reaches on the same
device (model FLOP utilisation: 6 x parameters x tokens), peak memory, and the scores. It runs on a
CPU too; --tiny takes the packaged model and some seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from agents.settings import TINY, ModelConfig, Precision
from finemem_env.cli.frame import Parser, command, program, saving
from finemem_env.cli.options import above_zero, at_least
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import number, text_table
from finemem_env.errors import ConfigError
from finemem_env.extras import needs
from finemem_env.fields import whole_lines

if TYPE_CHECKING:
    import torch

    from agents.runs.config import TrainConfig

_TRIAL = 3  # steps that tell how long one takes
_WARM, _TRAIN = 0.3, 0.45  # of the minutes; the rest is for loading and evaluations
_MOST_STEPS = 400
_ENDLESS = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """How much is done at a time."""

    prompts: int  # observations of a step of the warm start
    contexts: int  # of an update
    group_size: int
    max_new_tokens: int
    episodes: int  # of an evaluation


FULL = Load(prompts=16, contexts=8, group_size=8, max_new_tokens=48, episodes=32)
SMALL = Load(prompts=2, contexts=1, group_size=2, max_new_tokens=8, episodes=2)


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int, repeats: int = 5) -> float:
    """FLOP per second of a product of square matrices, the best of some.

    Args:
        device: where.
        dtype: of the matrices.
        size: rows and columns.
        repeats: how many are timed; one more comes before.
    """
    import torch

    matrix = torch.randn(size, size, device=device).to(dtype)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(seconds[1:])


def warm_start(model: ModelConfig, load: Load, folder: Path, seconds: float) -> dict[str, Any]:
    """Teach the action format for about so many seconds; `imitate`'s record."""
    from agents.learn.imitation import Imitation, imitate

    def taught(steps: int, save_every: int) -> dict[str, Any]:
        texts = ("synthetic",)
        config = Imitation(model, texts, steps, prompts=load.prompts, save_every=save_every)
        return imitate(config, folder, _say)

    each = float(taught(_TRIAL, _TRIAL)["seconds"]) / _TRIAL
    steps = min(max(int(seconds / each), _TRIAL + 1), _MOST_STEPS)
    return taught(steps, steps)


def settings(model: ModelConfig, load: Load, sampler: str, warm: Path) -> TrainConfig:
    """Of the training by reward that follows."""
    from agents.learn.references import REFERENCE_ENV_ARGS
    from agents.runs.config import TrainConfig

    return TrainConfig(
        model=replace(model, model=str(warm)),
        env_args={**REFERENCE_ENV_ARGS, "num_chunks": 6},
        instructions=False,
        updates=_ENDLESS,
        contexts=load.contexts,
        group_size=load.group_size,
        max_new_tokens=load.max_new_tokens,
        sampler=sampler,
        lr=1e-5,
        eval_every=0,
        eval_episodes=load.episodes,
        final_episodes=0,
        save_every=_ENDLESS,
    )


def train(config: TrainConfig, folder: Path, seconds: float) -> dict[str, float]:
    """Train for about so many seconds, two updates at least.

    Returns:
        Means over the updates after the first of the keys of docs/training-metrics.md, `updates`,
        and "before/…" and "after/…" of the evaluations on the same held-out episodes.
    """
    from agents.learn.distributed import World
    from agents.learn.rollout import RolloutSampling
    from agents.runs.evaluation import EVAL_SEED, evaluate_policy
    from agents.runs.metrics import means, rollout_sums
    from agents.trainer import Interrupted, Run

    run = Run.start(config, folder, resume=False, world=World())
    start = time.perf_counter()
    run.stop = lambda: run.position.update >= 2 and time.perf_counter() - start > seconds
    try:
        run.train(lambda values: _say(f"update {run.position.update}: {_short(values)}"))
    except Interrupted:
        run.close()
    sampling = RolloutSampling(config.sampling.max_new_tokens, 0.0, instructions=False)
    place, held_out = config.environment, run.held_out.validation
    rollouts = evaluate_policy(
        run.policy,
        place.env,
        place.evaluation(config.evaluation.eval_split),
        seeds=held_out,
        seed=EVAL_SEED,
        sampling=sampling,
    )
    logged: list[dict[str, Any]] = [
        record.mapping_of_all() for _, record in whole_lines(folder / "metrics.jsonl")
    ]
    numbers = _means([record for record in logged if record["update"] != 0][1:])
    before: dict[str, Any] = {}
    for record in logged:
        before |= record if record["update"] == 0 else {}
    for key, value in means([rollout_sums(rollouts, "after")]).items():
        numbers[key] = value
        numbers[key.replace("after", "before")] = float(before[key.replace("after", "eval")])
    return {**numbers, "updates": float(run.position.update)}


def _means(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    keys = [key for key in records[0] if all(key in record for record in records)]
    return {key: fmean(float(record[key]) for record in records) for key in keys}


def _short(values: Mapping[str, float]) -> str:
    return f"score {values['rollout/score']:.3f}, {values['time/total']:.1f} s"


def measure(
    model: ModelConfig, load: Load, sampler: str, minutes: float, folder: Path
) -> dict[str, Any]:
    """Everything, as it is written to gpu.json.

    Raises:
        ConfigError: a model or sampler that cannot be had, or a folder that is in use.
    """
    import torch

    from agents.model.policy import load_policy

    start = time.perf_counter()
    policy = load_policy(model)
    device, loaded = policy.device, time.perf_counter() - start
    parameters = sum(parameter.numel() for parameter in policy.model.parameters())
    del policy
    half = model.precision != "float32"
    dtype = torch.bfloat16 if half else torch.float32
    rate = matmul_rate(device, dtype, 8192 if device.type == "cuda" else 512)
    taught = warm_start(model, load, folder / "model", 60 * _WARM * minutes)
    config = settings(model, load, sampler, folder / "model")
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "threads": torch.get_num_threads(),
        "model": model.model,
        "parameters": parameters,
        "precision": model.precision,
        "sampler": sampler,
        "load_seconds": loaded,
        "matmul_flops": rate,
        "warm_start": taught,
        "training": train(config, folder / "run", 60 * _TRAIN * minutes),
        "peak_bytes": _peak(device),
        "seconds": time.perf_counter() - start,
    }


def _peak(device: torch.device) -> int:
    """Most memory that tensors had on the accelerator; of this process where there is none."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def report(record: Mapping[str, Any]) -> str:
    """The tables that are printed."""
    warm, by = record["warm_start"], record["training"]
    learned = sum(warm["tokens"].values())
    seconds = warm["seconds"]
    flops = (4 if warm["config"]["model"]["lora_rank"] else 6) * record["parameters"]
    share = flops * learned / seconds / record["matmul_flops"]
    trained = by["train/tokens"]
    parts = [
        ["warm start, a step", seconds / warm["done"], learned / seconds],
        ["training: sampling", by["time/sample"], by["time/sample_tokens_per_second"]],
        ["training: environment", by["time/environment"], None],
        ["training: reader", by["time/reader"], None],
        ["training: update", by["time/update"], trained / by["time/update"]],
        ["training: all", by["time/total"], trained / by["time/total"]],
    ]
    rows = [[name, number(took, 2), number(speed, 0)] for name, took, speed in parts]
    scores = [
        [when, *(number(by[f"{when}/{key}"], 3) for key in ("score", "accepted", "memory_tokens"))]
        for when in ("before", "after")
    ]
    return "\n\n".join(
        [
            f"{record['model']}, {record['parameters'] / 1e6:.1f}M parameters, "
            f"{record['precision']}, on {record['device']}; sampler {record['sampler']}",
            text_table(["part", "seconds", "tokens/s"], rows),
            f"warm start: {warm['done']} steps, {learned} tokens (prompts once for all replies to "
            f"them), {warm['replies']['valid']:.2f} of the replies valid; {share:.2f} of the "
            f"{record['matmul_flops'] / 1e12:.2f} TFLOP/s of a matrix product",
            f"training: {by['updates']:.0f} updates; tokens of replies, prompts not counted",
            f"peak memory {record['peak_bytes'] / 2**30:.2f} GiB; {record['seconds'] / 60:.1f} "
            "minutes in all",
            text_table(["held out", "score", "accepted", "memory tokens"], scores),
        ]
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write gpu.json and print the tables."""
    options = _parser().parse_args(arguments)
    folder = options.output_dir
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: expected a new or empty folder.")
    with needs("this benchmark", "train"):
        import torch
    usual: Precision = "mixed" if torch.cuda.is_available() else "float32"
    model = ModelConfig(
        TINY if options.tiny else options.model,
        precision=options.precision or usual,
        lora_rank=options.lora_rank,
        gradient_checkpointing=options.gradient_checkpointing,
    )
    watch = shlex.join(["tensorboard", "--logdir", str(folder)])
    begin(f"about {options.minutes:g} minutes with {model.model}", folder, watch)
    with saving(folder, "Start again with another folder."):
        folder.mkdir(parents=True, exist_ok=True)
        load = SMALL if options.tiny else FULL
        record = measure(model, load, options.sampler, options.minutes, folder)
        (folder / "gpu.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(report(record))
    return 0


def _parser() -> Parser:
    parser = program("benchmarks.gpu", __doc__)
    add: Callable[..., argparse.Action] = parser.add_argument
    add("--minutes", type=above_zero, default=8.0, help="about how long it takes in all")
    add("--output-dir", type=Path, required=True, metavar="DIR", help="a new folder")
    add("--model", default="smollm2-135m", help="name, .gguf file, folder or hub id")
    add("--sampler", default="transformers", help="transformers, vllm, or the address of a server")
    add(
        "--precision",
        choices=("float32", "bfloat16", "mixed"),
        help="of weights and arithmetic (default: mixed on an accelerator, else float32)",
    )
    add("--lora-rank", type=at_least(0), default=0, help="of adapters; 0 trains all weights")
    add("--gradient-checkpointing", action="store_true", help="less memory, slower")
    add("--tiny", action="store_true", help="the packaged model and little of everything")
    return parser


if __name__ == "__main__":
    sys.exit(main())

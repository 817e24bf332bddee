"""What a run is asked for and its updates never come to, which nothing else in it would show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agents.curriculum import parse_curriculum
from agents.runs.config import TrainConfig
from finemem_env.disk import write_whole


def unreached(config: TrainConfig) -> str:
    """One line on the settings that take no effect in so many updates; "" where there are none.

    No error: a short trial of a long run is usual, and `--resume` may raise `--updates`. What is at
    its default was not asked for.
    """
    parts = list(_parts(config, TrainConfig()))
    updates = config.optimizer.updates
    count = "1 update does" if updates == 1 else f"{updates} updates do"
    return f"{count} not reach {'; '.join(parts)}." if parts else ""


def write_unreached(config: TrainConfig, folder: Path) -> None:
    """Keep the line in `warnings.txt` of the run, which is not there without one."""
    path, said = folder / "warnings.txt", unreached(config)
    if said:
        write_whole(path, said + "\n")
    else:
        path.unlink(missing_ok=True)


def _parts(config: TrainConfig, usual: TrainConfig) -> Iterator[str]:
    adam, updates = config.optimizer, config.optimizer.updates
    for first, chunks in parse_curriculum(config.environment.curriculum):
        if first >= updates:
            yield f"episodes of {chunks} chunks (curriculum: after update {first})"
    if adam.warmup_updates > updates:
        yield f"lr {adam.lr:g} (warmup_updates {adam.warmup_updates}: it rises to {_peak(config)})"
    every = config.evaluation.eval_every
    if every > updates and every != usual.evaluation.eval_every:
        yield f"an evaluation between the first and the last (eval_every {every})"
    if config.run.save_every > max(updates, usual.run.save_every):
        yield f"a checkpoint before the last (save_every {config.run.save_every})"
    if config.sampling.overlap and updates == 1:
        yield "rollouts that are drawn ahead (overlap)"


def _peak(config: TrainConfig) -> str:
    adam = config.optimizer
    return f"{max(adam.rate(update) for update in range(adam.updates)):g}"

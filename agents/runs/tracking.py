"""What a run logs: TensorBoard, metrics.jsonl, and wandb on request. Keys are defined here.

`METRICS` is the only list of keys; docs/training-metrics.md shows it and a test holds both to what
a run writes. In a key, <t> is a step index, <op> an operation, <reason> a reject reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.tables.drawing import Drawing
from finemem_env.disk import write_whole
from finemem_env.extras import load, needs
from finemem_env.fields import whole_lines

METRICS: dict[str, str] = {
    "rollout/score": "mean score of the final questions (r_global), where the reader answered",
    "rollout/return": "sum of the rewards of an episode",
    "rollout/accepted": "accepted operations over emitted ones",
    "rollout/memory_tokens": "tokens in memory at the end of an episode",
    "rollout/chunks": "chunks of an episode, mean (grows with --curriculum)",
    "rollout/replies": "replies drawn in the update: the cost in samples",
    "rollout/prompt_tokens": "model tokens of a prompt, mean",
    "rollout/reply_tokens": "model tokens of a reply, mean",
    "rollout/cut_off": "share of replies that hit max_new_tokens",
    "rollout/failed_rows": "rows without a reply (prompt too long, not finite, no reply in time)",
    "rollout/operations/<op>": "accepted operations of a kind per reply",
    "rollout/rejects/<reason>": "rejected operations per reply, by reason",
    "reward/format": "r_fmt, mean over steps, unweighted",
    "reward/chunk_qa": "r_chunk, mean over steps with chunk questions, unweighted",
    "reward/compression": "r_comp at the end of an episode, unweighted",
    "reward/global": "r_global, unweighted (equals rollout/score)",
    "reward/step/<t>": "attributed reward r_t of step t, mean over rollouts",
    "reward/spread": "root of the mean variance within a (context, step) or context",
    "reward/zero_spread": "share of cells in which all rollouts got the same reward",
    "reward/invalid_rows": "rows without a usable reward (reader or sampler failed)",
    "train/loss": "policy loss of the update (near 0 by construction; watch the rewards)",
    "train/grad_norm": "norm of the gradient before clipping, mean over optimizer steps",
    "train/lr": "learning rate",
    "train/tokens": "completion tokens trained on",
    "train/ratio": "new over old policy per token, mean",
    "train/ratio_max": "its maximum",
    "train/approx_kl": "k3 estimate of the KL of the old to the new policy, per token",
    "train/clip_low": "share of tokens clipped below",
    "train/clip_high": "share of tokens clipped above",
    "train/clip_delta": "share of tokens beyond the dual clip",
    "train/advantage_abs": "mean absolute advantage of a token",
    "train/entropy": "entropy of the policy per token, nats",
    "train/kl": "k3 estimate of the KL to the initial model, per token (kl_beta > 0)",
    "train/importance_raw": "trainer over sampler probability per token before truncation, mean",
    "train/importance_raw_max": "its maximum",
    "train/importance_truncated": "the same after truncation, mean",
    "train/importance_capped": "share of tokens above the cap",
    "train/sampler_difference": "largest difference of a probe log-probability, trainer to sampler",
    "eval/score": "mean score of the final questions on held-out episodes",
    "eval/return": "sum of the rewards of a held-out episode",
    "eval/accepted": "accepted over emitted operations on held-out episodes",
    "eval/memory_tokens": "tokens in memory at the end of a held-out episode",
    "eval/best_score": "best eval/score so far; its weights are kept",
    "eval/normalised": "eval/score between skip (0) and oracle (1) on the same episodes",
    "final/score": "mean score of the best weights on the test episodes of the last table",
    "final/normalised": "the same between skip (0) and oracle (1)",
    "final/memory_tokens": "tokens in memory at the end of a test episode, best weights",
    "time/sample": "seconds of generation, mean over processes, as all seconds here",
    "time/environment": "seconds of the environment without the reader",
    "time/reader": "seconds of the reader",
    "time/update": "seconds of advantages, forward, backward and optimizer",
    "time/total": "seconds of the whole update",
    "time/wait": "seconds that an update stood still for its rollouts, fewer with overlap",
    "time/sample_tokens_per_second": "generated tokens per second of generation, all processes",
    "time/update_tokens_per_second": "completion tokens per second of the update, all processes",
}


class Tracker:
    """Writes numbers and texts of a run under `folder`.

    Args:
        folder: the run.
        config: for TensorBoard's hparams and wandb.
        first: last update that is done, -1 before all; what was logged later is dropped.
        wandb: log there too.

    Raises:
        ConfigError: wandb is asked for and not installed.
    """

    def __init__(
        self, folder: Path, config: Mapping[str, Any], *, first: int = -1, wandb: bool = False
    ) -> None:
        with needs("training", "train"):
            from torch.utils.tensorboard import SummaryWriter

        client = load("wandb", "track") if wandb else None
        # In the folder itself: TensorBoard names a run after the folder of its file.
        self._writer: Any = SummaryWriter(str(folder), purge_step=first + 1)
        self._folder, self._update, self._beside = folder, max(0, first), False
        self._path = folder / "metrics.jsonl"
        _forget(self._path, first)
        self._config = {
            key: value if isinstance(value, int | float | str | bool) else json.dumps(value)
            for key, value in config.items()
        }
        self._wandb: Any = client and client.init(
            project="finemem-env", config=dict(config), dir=str(folder)
        )

    def log(self, update: int, values: Mapping[str, float]) -> None:
        """Numbers of one update."""
        self._update = update
        for key, value in values.items():
            self._writer.add_scalar(key, value, update)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"update": update, **values}) + "\n")
        if self._wandb is not None:
            self._wandb.log(dict(values), step=update)

    def histograms(self, update: int, values: Mapping[str, Sequence[float]]) -> None:
        """Distributions of one update; what is empty or not finite is left out."""
        for key, each in values.items():
            known = np.asarray(each, np.float64)
            known = known[np.isfinite(known)]
            if known.size:
                self._writer.add_histogram(key, known, update)

    def sample(self, update: int, text: str, credit: Drawing) -> None:
        """One episode of an evaluation: its text, Markdown, and the map of its credit."""
        self._writer.add_text("eval/sample", text, update)
        pixels = np.asarray(credit.image())
        self._writer.add_image("eval/credit", pixels, update, dataformats="HWC")

    def beside(self, lines: Mapping[str, Mapping[str, float]], last: int) -> None:
        """Level lines up to update `last`: runs of their own, which TensorBoard draws with ours."""
        if self._beside:
            return
        from torch.utils.tensorboard import SummaryWriter

        self._beside = True
        for name, values in lines.items():
            writer = SummaryWriter(str(self._folder / "reference" / name), purge_step=0)
            for key, value in values.items():
                for update in (0, last):
                    writer.add_scalar(key, value, update)
            writer.close()

    def close(self, final: Mapping[str, float]) -> None:
        """Write the final numbers and hparams with their names, whose last values show, and end."""
        for key, value in final.items():
            if key.startswith("final/"):  # the others are curves, which have their last point
                self._writer.add_scalar(key, value, self._update)
        with needs("training", "train"):
            from torch.utils.tensorboard.summary import hparams

        if final:
            # Not `add_hparams`, which writes the final numbers at step 0 of a second file.
            for part in hparams(self._config, dict(final)):  # type: ignore[no-untyped-call]
                self._writer.file_writer.add_summary(part)
        self._writer.close()
        if self._wandb is not None:
            self._wandb.finish()


def _forget(path: Path, first: int) -> None:
    """Drop the lines of updates that will be done again, and a line cut off by a kill."""
    if path.exists():
        kept = [line for line, record in whole_lines(path) if record.count("update") <= first]
        write_whole(path, "".join(kept))

"""A transformers model in this process: sampler and backend. Extra `train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finemem_env.backends.base import Sampling
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.logprobs import load_package, sequence_logprobs
from finemem_env.backends.options import check_number
from finemem_env.backends.sampler import Sample
from finemem_env.backends.template import ChatTemplate
from finemem_env.errors import BackendError, ConfigError

__all__ = ["HFConfig", "HFSampler", "load_backend", "load_tokenizer"]


@dataclass(frozen=True, slots=True)
class HFConfig:
    """Which model and where it runs; code that comes with a model is never executed.

    `model`: a folder or a hub id. `revision`: of the hub id. `device`: "auto" is the accelerator
    where there is one. `dtype`: "auto" is the checkpoint's. `batch_tokens`: prompt and reply tokens
    of one batch, padding included. `thinking`: `enable_thinking` of the chat template.
    """

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_tokens: int = 32_768
    thinking: bool = False

    def __post_init__(self) -> None:
        """Refuse a batch without room."""
        check_number("transformers", "batch_tokens", self.batch_tokens, 1)

    @property
    def template_variables(self) -> Mapping[str, object]:
        """What the chat template is told."""
        return {"enable_thinking": self.thinking}


def load_backend(config: HFConfig) -> GenerationBackend:
    """The model as a backend.

    Raises:
        ConfigError: packages are missing, there is no such model, or it has no chat template.
    """
    tokenizer = load_tokenizer(config.model, config.revision)
    template = ChatTemplate(tokenizer, config.template_variables)
    sampler = HFSampler(_load_model(config), tokenizer, config.batch_tokens)
    return GenerationBackend(config.model, template, sampler)


def load_tokenizer(model: str, revision: str | None = None) -> Any:  # noqa: ANN401
    """The tokenizer of a folder or hub id.

    Raises:
        ConfigError: transformers is missing, or there is no such model.
    """
    transformers = load_package("transformers")
    with _explained(model):
        return transformers.AutoTokenizer.from_pretrained(
            model, revision=revision, trust_remote_code=False
        )


def _load_model(config: HFConfig) -> Any:  # noqa: ANN401
    torch, transformers = load_package("torch"), load_package("transformers")
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with _explained(config.model):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            config.model, revision=config.revision, dtype=config.dtype, trust_remote_code=False
        )
    return model.to(device).eval()


class HFSampler:
    """Draws replies with `generate`, in batches of at most `batch_tokens` sorted by length.

    Args:
        model: a causal LM.
        tokenizer: names the padding and end tokens.
        batch_tokens: prompt and reply tokens of one batch, padding included.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_tokens: int = 32_768) -> None:  # noqa: ANN401
        self.model = model
        self.batch_tokens = batch_tokens
        ends = model.generation_config.eos_token_id
        given = ends if isinstance(ends, list) else [ends]
        self.ends = tuple({*given, tokenizer.eos_token_id} - {None})
        pad = tokenizer.pad_token_id
        self.pad = pad if pad is not None else min(self.ends, default=0)

    @property
    def context_tokens(self) -> int | None:
        """Positions that the model was built for."""
        found: int | None = getattr(
            self.model.config.get_text_config(), "max_position_embeddings", None
        )
        return found

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        stop_ids: Sequence[int] = (),
    ) -> list[Sample]:
        """One reply per prompt, in order. A seed fixes the replies of a batch as a whole.

        Raises:
            BackendError: not even one prompt fits the device's memory.
        """
        torch = load_package("torch")
        ends = (*self.ends, *stop_ids)
        samples: dict[int, Sample] = {}
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=sampling.seed is not None):
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            for numbers in self._batches([len(prompt) for prompt in prompts], sampling.max_tokens):
                replies = self._insist([prompts[number] for number in numbers], sampling, ends)
                samples.update(zip(numbers, replies, strict=True))
        return [samples[number] for number in range(len(prompts))]

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token but the first, temperature 1."""
        return sequence_logprobs(self.model, sequences)

    def update(self, folder: Path) -> None:
        """Take the weights of a folder written by `save_weights` or `save_pretrained`.

        Raises:
            BackendError: the folder holds no weights, or others than the model has.
        """
        safetensors = load_package("safetensors.torch")
        weights: dict[str, Any] = {}
        for file in sorted(Path(folder).glob("*.safetensors")):
            weights.update(safetensors.load_file(file))
        missing, unexpected = self.model.load_state_dict(weights, strict=False)
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
        if unexpected or set(missing) - tied:
            raise BackendError(
                f"weights in {folder}: missing {sorted(set(missing) - tied)[:3]}, unexpected "
                f"{list(unexpected)[:3]} for {type(self.model).__name__}."
            )

    def _batches(self, lengths: Sequence[int], reply: int) -> Iterator[list[int]]:
        """Numbers of prompts, longest first, so that a batch that does not fit shows at once."""
        batch: list[int] = []
        for number in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
            width = lengths[batch[0] if batch else number] + reply
            if batch and (len(batch) + 1) * width > self.batch_tokens:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _insist(
        self, prompts: list[Sequence[int]], sampling: Sampling, ends: tuple[int, ...]
    ) -> list[Sample]:
        """Sample a batch, in halves where the device's memory does not hold it."""
        torch = load_package("torch")
        try:
            return self._generate(prompts, sampling, ends)
        except torch.OutOfMemoryError as error:
            if len(prompts) == 1:
                raise BackendError(
                    f"a prompt of {len(prompts[0])} tokens does not fit the memory of "
                    f"{self.model.device}; use a smaller model or dtype, or shorter prompts."
                ) from error
        half = len(prompts) // 2
        first = self._insist(prompts[:half], sampling, ends)
        return first + self._insist(prompts[half:], sampling, ends)

    def _generate(
        self, prompts: list[Sequence[int]], sampling: Sampling, ends: tuple[int, ...]
    ) -> list[Sample]:
        torch, transformers = load_package("torch"), load_package("transformers")
        width = max(map(len, prompts))
        rows = [[self.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        recorder = _recorder(sampling.temperature)
        drawn = sampling.temperature > 0
        # What is not set here comes from the model's own generation config.
        config = transformers.GenerationConfig(
            do_sample=drawn,
            temperature=sampling.temperature if drawn else 1.0,
            top_p=sampling.top_p if drawn else 1.0,
            top_k=0 if drawn else None,
            min_p=0.0 if drawn else None,
            repetition_penalty=1.0,
            max_new_tokens=sampling.max_tokens,
            pad_token_id=self.pad,
            eos_token_id=list(ends) or None,
        )
        device = self.model.device
        with torch.inference_mode():
            output = self.model.generate(
                torch.tensor(rows, device=device),
                attention_mask=torch.tensor(mask, device=device),
                generation_config=config,
                logits_processor=[recorder],
            )
        replies = output[:, width:].tolist()
        logprobs = recorder.finish(output)
        return [_cut(*pair, ends) for pair in zip(replies, logprobs, strict=True)]


def _cut(ids: list[int], logprobs: list[float], ends: tuple[int, ...]) -> Sample:
    """A reply up to its first end token, which stays."""
    end = next((place for place, one in enumerate(ids) if one in ends), None)
    length = len(ids) if end is None else end + 1
    return Sample(tuple(ids[:length]), tuple(logprobs[:length]), end is not None)


def _recorder(temperature: float) -> Any:  # noqa: ANN401
    """A logits processor that changes nothing and keeps the log-probability of what was drawn.

    The token drawn at a step is known at the next, so one step's logits are kept, not all of them.
    """
    torch, transformers = load_package("torch"), load_package("transformers")

    class Recorder(transformers.LogitsProcessor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self._last: Any = None
            self._columns: list[Any] = []

        def __call__(self, ids: Any, scores: Any) -> Any:  # noqa: ANN401
            self._record(ids)
            self._last = scores.float() / (temperature or 1.0)
            return scores

        def finish(self, output: Any) -> list[list[float]]:  # noqa: ANN401
            self._record(output)
            rows: list[list[float]] = torch.stack(self._columns, dim=1).tolist()
            return rows

        def _record(self, ids: Any) -> None:  # noqa: ANN401
            if self._last is not None:
                chosen = self._last.gather(-1, ids[:, -1:])[:, 0]
                self._columns.append(chosen - self._last.logsumexp(-1))

    return Recorder()


@contextmanager
def _explained(model: str) -> Iterator[None]:
    """Turn the errors of `from_pretrained` into one line that names the model."""
    try:
        yield
    except (OSError, ValueError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            f"model {model!r}: expected a folder or a hub id that transformers can load without "
            f"remote code ({first[:300]})."
        ) from error

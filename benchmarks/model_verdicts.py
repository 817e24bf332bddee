"""What becomes of a causal LM class here: right, refused by name, not built, or wrong."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
)

from benchmarks.model_checks import (
    WrongError,
    check_sampling,
    check_training,
    plain,
    spread_weights,
)
from benchmarks.model_configs import MOST_PARAMETERS, small_config
from finemem_env.backends.local import abilities
from finemem_env.errors import ConfigError

RIGHT, ALONE, REFUSED, UNBUILT, WRONG = "right", "right, alone", "refused", "not built", "wrong"
KINDS = {
    RIGHT: "right, and rows of a group share their prefix",
    ALONE: "right, every row computed alone",
    REFUSED: "refused by name",
    UNBUILT: "not built",
    WRONG: "wrong",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a class: one of `KINDS`, and why; and whether its blocks can be recomputed."""

    name: str
    kind: str
    why: str = ""
    saves: bool = False


def model_types() -> list[str]:
    """The model types that `AutoModelForCausalLM` knows; nothing of them is imported yet."""
    return [kind for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if kind in CONFIG_MAPPING]


def judge(kind: str) -> Verdict:
    """Build the class of this model type and try it.

    Args:
        kind: one of `model_types`.
    """
    config_class = CONFIG_MAPPING[kind]
    known: Any = MODEL_FOR_CAUSAL_LM_MAPPING[config_class]
    model_class = known[0] if isinstance(known, tuple) else known
    name = f"{model_class.__name__} ({kind})"
    torch.manual_seed(0)
    try:
        model = _build(model_class, config_class)
    except Exception as error:  # whatever a class says to sizes that do not fit it
        return Verdict(name, UNBUILT, _said(error))
    try:
        check_sampling(model)
        check_training(model)
        saves = _saves(model)
    except ConfigError as error:
        named = type(model).__name__ in str(error)
        return Verdict(name, REFUSED if named else WRONG, _said(error))
    except Exception as error:  # any is a fault of ours
        return Verdict(name, WRONG, _said(error))
    return Verdict(name, RIGHT if abilities(model).share else ALONE, saves=saves)


def _saves(model: Any) -> bool:  # noqa: ANN401
    """Whether gradient checkpointing is on where it is asked for; False where it is refused."""
    try:
        check_training(model, saving=True)
    except ConfigError:
        return False
    return True


def _build(model_class: type[Any], config_class: type[Any]) -> Any:  # noqa: ANN401
    """A small model that runs by itself, of the whole config or of its text's."""
    whole = small_config(config_class)
    text = whole.get_text_config(decoder=True)
    try:
        return _built(model_class, whole)
    except Exception:
        if text is whole:
            raise
        return _built(model_class, text)


def _built(model_class: type[Any], config: Any) -> Any:  # noqa: ANN401
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in model_class._from_config(config).parameters())
    if size > MOST_PARAMETERS:
        raise ValueError(f"{size:,} parameters at the smallest sizes that are known")
    model = spread_weights(model_class._from_config(config))
    with torch.no_grad():
        plain(model, (3, 4, 5, 6), (7, 8))
    return model


def _said(error: Exception) -> str:
    said = " ".join(str(error).split())
    kind = "" if isinstance(error, (ConfigError, WrongError)) else f"{type(error).__name__}: "
    return (kind + said)[:160]


def judge_all(kinds: Sequence[str]) -> Iterator[Verdict]:
    """One verdict a model type, in their order; nothing of a model stays."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    for kind in kinds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kernels that are not there
            yield judge(kind)
        gc.collect()


def listing(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as Markdown, a paragraph a kind."""
    parts = []
    for kind, title in KINDS.items():
        own = sorted((case for case in verdicts if case.kind == kind), key=lambda case: case.name)
        if own:
            said = ", ".join(case.name for case in own)
            parts.append(f"**{title}** ({len(own)}): {said}")
    bare = sorted(case.name for case in verdicts if case.kind in (RIGHT, ALONE) and not case.saves)
    if bare:
        title = "of the right ones, without gradient checkpointing"
        parts.append(f"**{title}** ({len(bare)}): {', '.join(bare)}")
    return "\n\n".join(parts)

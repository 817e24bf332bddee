"""The command line of training, made from the settings: one option each, with the real default."""

from __future__ import annotations

import argparse
import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from agents.runs.config import PRESETS, SETTINGS, SMOKE, TrainConfig
from agents.settings import TINY
from finemem_env.cli.options import json_object, name_or_object
from finemem_env.data.registry import SOURCES, SYNTHETIC
from finemem_env.errors import ConfigError
from finemem_env.locate import ENVIRONMENTS

# What a preset says of the data: knobs of the synthetic texts, and sizes that a file has itself.
_KNOBS, _SIZES = ("difficulty",), ("chunk_tokens", "num_chunks")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings that a command line stands for, and where they start from."""

    config: TrainConfig
    preset: str | None


def add_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] = ()) -> None:
    """One option per setting, unset unless given; plus --preset and --smoke.

    Args:
        parser: gets the options.
        arguments: of the command line: `--help` shows the defaults that hold beside them.
    """
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), help="starting values (default: cpu for model tiny)"
    )
    parser.add_argument("--smoke", action="store_true", help="two small updates, under a minute")
    preset, start = _start(*_peek(arguments))
    group = parser.add_argument_group(
        "settings", f"Defaults are those of {f'--preset {preset}' if preset else 'no preset'}."
    )
    add_settings(group, {**TrainConfig().as_dict(), **start})


def add_settings(group: argparse._ActionsContainer, defaults: Mapping[str, Any]) -> None:
    """An option for each of these settings, unset unless given; the defaults are only shown."""
    for name, default in defaults.items():
        shown = json.dumps(default) if isinstance(default, dict) else default
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=name,
            default=argparse.SUPPRESS,
            help=f"{SETTINGS[name].field.metadata['help']} (default: {shown})".replace("%", "%%"),
            **_option(SETTINGS[name].hint),
        )


def parse_config(options: argparse.Namespace) -> Chosen:
    """The resolved config of parsed arguments.

    Raises:
        ConfigError: a setting that does not fit.
    """
    explicit = {key: value for key, value in vars(options).items() if key in SETTINGS}
    preset, chosen = _start(options.preset, explicit.get("model", TINY), options.smoke)
    foreign = _foreign(explicit)
    for name in ("env_args", "eval_env_args"):
        if name in chosen:
            kept = {key: value for key, value in chosen[name].items() if key not in foreign}
            explicit[name] = kept | explicit.get(name, {})
    config = TrainConfig(**{**chosen, **explicit})
    _check_used(explicit, config)
    return Chosen(config, preset)


def _check_used(explicit: Mapping[str, Any], config: TrainConfig) -> None:
    """Refuse what is asked for and nobody looks at; a study may set it for some of its runs."""
    if "local_steps" in explicit and config.sampling.compare != "state":
        raise ConfigError("local_steps: needs --compare state; otherwise episodes are whole.")
    if "floor" in explicit and config.estimator.scale == "none":
        raise ConfigError("floor: needs --scale cell, group or batch; none divides by nothing.")


def _start(preset: str | None, model: str, smoke: bool) -> tuple[str | None, dict[str, Any]]:
    """The preset that holds, and what it and --smoke set."""
    preset = preset or ("cpu" if model == TINY else None)
    return preset, {**PRESETS.get(preset or "", {}), **(SMOKE if smoke else {})}


def _peek(arguments: Sequence[str]) -> tuple[str | None, str, bool]:
    """Preset, model and --smoke of a command line that may be faulty otherwise."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--preset")
    parser.add_argument("--model", default=TINY)
    parser.add_argument("--smoke", action="store_true")
    try:
        options, _ = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError:  # the real parser says it
        return None, TINY, False
    return options.preset, options.model, options.smoke


def _foreign(explicit: Mapping[str, Any]) -> tuple[str, ...]:
    """Keywords of a preset that do not belong to what these settings play."""
    source = explicit.get("source", explicit.get("env_args", {}).get("source")) or "synthetic"
    names = list(source) if isinstance(source, Mapping) else [source]
    if explicit.get("env", next(iter(ENVIRONMENTS))) not in ENVIRONMENTS:
        return _KNOBS + _SIZES  # an id of one's own may fix its source
    known = {_fold(name) for name in ("synthetic", *SOURCES)}
    if any(_fold(name) not in known for name in names):
        return _KNOBS + _SIZES
    ours = {_fold(name) for name in ("synthetic", *SYNTHETIC.values())}
    return () if all(_fold(name) in ours for name in names) else _KNOBS


def _fold(name: object) -> str:
    return str(name).casefold().replace("-", "").replace("_", "")


def _option(hint: Any) -> dict[str, Any]:  # noqa: ANN401
    """Argparse's keywords for a setting of this type."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is dict:
        return {"type": json_object, "metavar": "JSON"}
    if get_origin(hint) in (Union, types.UnionType):
        inner = [kind for kind in get_args(hint) if kind is not type(None)]
        if any(get_origin(kind) is dict for kind in inner):
            return {"type": _name_or_json, "metavar": "NAME|JSON"}
        return {"type": _optional(inner[0]), "metavar": inner[0].__name__.upper()}
    return {"type": hint, "metavar": hint.__name__.upper()}


def _name_or_json(text: str) -> Any:  # noqa: ANN401
    """A name, or an object when it begins like one."""
    return None if text.casefold() == "none" else name_or_object(text)


def _optional(inner: Any) -> Any:  # noqa: ANN401
    def convert(text: str) -> Any:  # noqa: ANN401
        return None if text.casefold() == "none" else inner(text)

    convert.__name__ = inner.__name__
    return convert

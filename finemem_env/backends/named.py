"""Where a model's files are: packaged models by name, and `.gguf` files, as a folder to load.

transformers reads neither by itself for what we do: a model it read from GGUF refuses to be saved.
Both are converted once to a plain folder with safetensors, in the cache folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from finemem_env.errors import ConfigError
from finemem_env.extras import load, needs
from finemem_env.pretrained import PACKAGED, packaged_file, unpacked

_FORM = "hf1"  # of the converted folder; another number makes it anew


def model_folder(model: str, revision: str | None = None) -> str:
    """A folder or hub id that transformers and vLLM load.

    Args:
        model: "smollm2-135m", a `.gguf` file or a folder that holds one; anything else is returned
            as it is.
        revision: of a hub id.

    Raises:
        ConfigError: a package is missing, the file cannot be converted, or a revision of what is
            not on the hub, which nobody would look at.
    """
    folder = _folder(model)
    if revision is not None and Path(folder).is_dir():
        raise ConfigError(
            f"revision: expected none with model {model!r}, whose files are here: it names a "
            f"version on the hub, got {revision!r}."
        )
    return folder


def _folder(model: str) -> str:
    if model in PACKAGED:
        return str(_converted(packaged_file(model, "causal LM"), model, PACKAGED[model].extra))
    path = Path(model).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ConfigError(f"model {model!r}: there is no such file.")
        return str(_converted(path, model))
    if path.is_dir() and not (path / "config.json").is_file():
        files = sorted(path.glob("*.gguf"))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise ConfigError(f"model {model!r} holds {names}: name one of the files.")
        if files:
            return str(_converted(files[0], model))
    return model


def _converted(file: Path, model: str, extra: str = "smollm") -> Path:
    hint = "Or reach a server through the openai reader."
    load("torch", "a local model", "train", hint)
    with needs(f"model {model!r}", extra):
        import gguf  # noqa: F401 - transformers reads the file with it

    def write(folder: Path) -> None:
        from finemem_env.backends.gguf import convert_gguf

        sys.stderr.write(f"{file.name}: converted to safetensors once, in a minute ...\n")
        convert_gguf(file, folder)

    return unpacked(file, _FORM, write)

"""Finds our `envs` folder, whatever else is called `envs`.

`envs` is a generic name that other projects use too, so its modules are found even when
another `envs` comes first on the path.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

# id -> (module in envs/, class)
ENVIRONMENTS: dict[str, tuple[str, str]] = {
    "FineMem-AR-v0": ("accurate_retrieval", "AccurateRetrievalEnv"),
    "FineMem-TTL-v0": ("test_time_learning", "TestTimeLearningEnv"),
    "FineMem-LRU-v0": ("long_range_understanding", "LongRangeUnderstandingEnv"),
    "FineMem-CR-v0": ("conflict_resolution", "ConflictResolutionEnv"),
    "FineMem-Mix-v0": ("mixture", "MixtureEnv"),
    "FineMem-Media-v0": ("media", "MediaEnv"),
}
_FOLDER = Path(__file__).resolve().parents[1] / "envs"
_PRIVATE = "finemem_env._own_envs_"


def blank_env(module: str, name: str) -> object:
    """An uninitialised instance, for unpickling (state follows)."""
    ours = {class_name: file for file, class_name in ENVIRONMENTS.values()}
    is_ours = name in ours and (module.startswith(_PRIVATE) or module == f"envs.{ours[name]}")
    loaded = load_module(ours[name]) if is_ours else importlib.import_module(module)
    return object.__new__(getattr(loaded, name))


def load_module(module: str) -> ModuleType:
    """envs.<module> by import if `envs` is our folder, else by location under a private name."""
    if _ours_is_importable():
        return importlib.import_module(f"envs.{module}")
    name = f"{_PRIVATE}{module}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _FOLDER / f"{module}.py")
        if spec is None or spec.loader is None:
            raise ImportError(
                f"no module at {_FOLDER / module}.py: the installation is incomplete."
            )
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded
        spec.loader.exec_module(loaded)
    return sys.modules[name]


def _ours_is_importable() -> bool:
    """Whether `import envs` finds our folder, alone or as one part of a namespace package."""
    try:
        spec = importlib.util.find_spec("envs")
    except ValueError:
        return False
    if spec is None or spec.submodule_search_locations is None:
        return False
    first = next(iter(spec.submodule_search_locations), None)
    return first is not None and Path(first).resolve() == _FOLDER

"""On PYTHONPATH: a Python that has the core only, with every process it starts.

What other packages installed is not found, as if it had never been installed.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# gymnasium, numpy, and what gymnasium brings.
CORE = {"cloudpickle", "farama_notifications", "gymnasium", "numpy", "typing_extensions"}
SITE = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


class CoreFinder(PathFinder):
    """The usual finder, blind to site-packages but for the core."""

    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        spec = super().find_spec(fullname, path, target)
        if spec is None or "." in fullname or fullname in CORE:
            return spec
        places = [spec.origin or "", *(spec.submodule_search_locations or ())]
        return None if any(place.startswith(SITE) for place in places) else spec


sys.meta_path[:] = [CoreFinder if one is PathFinder else one for one in sys.meta_path]

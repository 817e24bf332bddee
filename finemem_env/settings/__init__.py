"""The one place where keywords become resolved settings.

`protocols` are the bundles by name, `resolver` puts keywords before presets before protocols.
"""

from finemem_env.rewards import REWARDS
from finemem_env.settings.protocols import PROTOCOLS, UNLIMITED
from finemem_env.settings.resolver import Dialect, Publication, Settings, resolve

__all__ = ["PROTOCOLS", "REWARDS", "UNLIMITED", "Dialect", "Publication", "Settings", "resolve"]

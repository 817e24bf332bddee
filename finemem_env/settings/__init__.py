"""The one place where keywords become resolved settings.

`table` names every setting with its check and help, `protocols` are the bundles by name, `resolver`
puts keywords before presets before protocols.
"""

from finemem_env.settings.checks import UNLIMITED
from finemem_env.settings.protocols import MANAGED, PROTOCOLS
from finemem_env.settings.resolver import Settings, resolve
from finemem_env.settings.table import (
    SETTINGS,
    SOURCE_KEYWORDS,
    Dialect,
    PublicationName,
    markdown,
)

__all__ = [
    "MANAGED",
    "PROTOCOLS",
    "SETTINGS",
    "SOURCE_KEYWORDS",
    "UNLIMITED",
    "Dialect",
    "PublicationName",
    "Settings",
    "markdown",
    "resolve",
]

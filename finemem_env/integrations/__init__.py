"""The environments in what people train with already: one module for each package.

`play_groups` plays what a group-based trainer compares, `step_info` is what it may be told. Nothing
is imported here but the core; `finemem_env.integrations.trl` and its neighbours import their
package when they are used (docs/integrations.md).
"""

from finemem_env.integrations.groups import Generate, play_groups
from finemem_env.integrations.infos import step_info
from finemem_env.integrations.rows import Credit, Message, ReplyRow

__all__ = ["Credit", "Generate", "Message", "ReplyRow", "play_groups", "step_info"]

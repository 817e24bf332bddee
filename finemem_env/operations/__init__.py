"""From the agent's text to operations and rejections, and back; never raises on agent text.

`extract` finds JSON values in a reply, `tool_calls` brings the forms that models write to one,
`references` looks up the sentences that they name by number, `grammar` says which operations they
are, and `shortest` writes them as short as they can be.
"""

from finemem_env.operations.extract import find_values
from finemem_env.operations.grammar import is_blank, parse, render
from finemem_env.operations.references import MAX_ACTION_CHARS, Parsed
from finemem_env.operations.shortest import concise

__all__ = ["MAX_ACTION_CHARS", "Parsed", "concise", "find_values", "is_blank", "parse", "render"]

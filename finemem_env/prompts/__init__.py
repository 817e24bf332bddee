"""What models read.

`observation` is what the manager reads, instructions included; `files` are the prompts of readers,
judges and the chunk-question pipeline, one file per version in `texts`.
"""

from finemem_env.prompts.files import load_prompt
from finemem_env.prompts.observation import (
    INSTRUCTIONS,
    View,
    has_line_numbers,
    has_media_names,
    instructions_for,
    parse_observation,
    prompt_version,
    render_item,
)

__all__ = [
    "INSTRUCTIONS",
    "View",
    "has_line_numbers",
    "has_media_names",
    "instructions_for",
    "load_prompt",
    "parse_observation",
    "prompt_version",
    "render_item",
]

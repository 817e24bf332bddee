"""Where a final question was lost: pure functions from traces to findings.

`story` rebuilds the memory of an episode from the agent's text, `holding` says whether a text holds
a piece of evidence, `findings` follows every question from its evidence to its answer, `tally` adds
up a run, `lines` is what a terminal shows, `files` finds the traces of a path.

Nothing that a trace names is imported or opened.
"""

from finemem_env.inspect.files import Choice, Recorded, read_recorded, state_of
from finemem_env.inspect.findings import Finding, Trail, Where, find
from finemem_env.inspect.lines import episode_lines, episode_score, finding_line, missing_notes
from finemem_env.inspect.story import Life, Story, tell
from finemem_env.inspect.tally import Tally, refusal_lines, tally_table

__all__ = [
    "Choice",
    "Finding",
    "Life",
    "Recorded",
    "Story",
    "Tally",
    "Trail",
    "Where",
    "episode_lines",
    "episode_score",
    "find",
    "finding_line",
    "missing_notes",
    "read_recorded",
    "refusal_lines",
    "state_of",
    "tally_table",
    "tell",
]

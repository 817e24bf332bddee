"""Where a final question was lost: pure functions from traces to findings.

`story` rebuilds the memory of an episode from the agent's text, `holding` says whether a text holds
a piece of evidence, `findings` follows every question from its evidence to its answer, `tally` adds
up a run, `files` finds the traces of a path.

Nothing that a trace names is imported or opened.
"""

from finemem_env.inspect.files import Choice, Recorded, RecordedTraces
from finemem_env.inspect.findings import Finding, find
from finemem_env.inspect.story import Story, tell
from finemem_env.inspect.tally import Tally, episode_score, missing_notes

__all__ = [
    "Choice",
    "Finding",
    "Recorded",
    "RecordedTraces",
    "Story",
    "Tally",
    "episode_score",
    "find",
    "missing_notes",
    "tell",
]

"""That the oracle is the ceiling: `python -m benchmarks.ceiling`.

Plays the oracle, every scripted agent and the policies of `benchmarks.exploits` on every source
whose files are there, under every protocol. Prints the oracle's mean score and return beside the
best of the others. Exit code 1 when another one scores more than the oracle.

A source whose metric is a judge is graded by a word list (the gold must stand in the answer), so
that no model is needed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import AGENTS, Agent, make_agent
from baselines.tables.summary import CEILING
from benchmarks.exploit_policies import HONEST, POLICIES
from benchmarks.exploit_reading import Keep
from benchmarks.exploits import PROTOCOLS
from benchmarks.floor import Earned, add_options, played
from finemem_env.cli.frame import command, program
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import markdown_row, markdown_table, number
from finemem_env.errors import ConfigError, nearest
from finemem_env.scoring.abstention import abstains
from finemem_env.text import words
from finemem_env.types import Answer, JudgeRequest

_GOLD = "right answer|correct answer|present answer|rubric"
_GRADED = re.compile(rf"(?:{_GOLD}): (.*?)\n+(?:given answer|reply): (.*?)\n\n", re.DOTALL)
_ABSTENTION = re.compile(r"\nreason: .*?\n\nreply: (.*?)\n\n", re.DOTALL)
_NUGGET = re.compile(r"\nreply: (.*?)\n\ncriterion: (.*?)\n\n", re.DOTALL)
_TOLERANCE = 1e-9


class WordJudge:
    """Says yes where the gold of a grading prompt stands in the answer."""

    version = "words/1"

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Answer]:
        """A reply for each request."""
        return [Answer(_verdict(request.text.casefold())) for request in requests]


def _verdict(prompt: str) -> str:
    graded, abstention, nugget = (rule.search(prompt) for rule in (_GRADED, _ABSTENTION, _NUGGET))
    if nugget:
        needed = set(words(nugget[2]))
        share = len(needed & set(words(nugget[1]))) / max(1, len(needed))
        return f'{{"score": {int(share * 2) / 2}}}'
    if abstention:
        return "yes" if abstains(abstention[1]) else "no"
    if graded:
        return "yes" if graded[1].strip() in graded[2] else "no"
    return '{"VALID": true, "fluency": 1, "recall": 1, "precision": 1, "sentence_count": 1}'


def players() -> dict[str, Agent]:
    """Everything that plays, by name, the oracle first."""
    agents = {name: make_agent(name) for name in (CEILING, *AGENTS)}
    kept = {**HONEST, **{name: policy.texts for name, policy in POLICIES.items()}}
    return agents | {name: Keep(texts) for name, texts in kept.items()}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = program("benchmarks.ceiling", __doc__)
    add_options(parser)
    help_text = ", ".join(PROTOCOLS)
    parser.add_argument("--protocols", nargs="+", default=list(PROTOCOLS), help=help_text)
    options = parser.parse_args(arguments)
    for name in options.protocols:
        if name not in PROTOCOLS:
            raise ConfigError(nearest("protocol", name, PROTOCOLS))
    begin(f"{CEILING} and the others under {', '.join(options.protocols)}")
    # The number of chunks is told to every source: those that cut their own are left out.
    common = {"judge": WordJudge(), "num_chunks": options.num_chunks}
    settings = {name: {**common, **PROTOCOLS[name]} for name in options.protocols}
    header = ["source", "protocol", f"{CEILING} score", "best of the others", "return", "most"]
    print(markdown_table(header, []), flush=True)
    rows = wrong = 0
    for source, protocol, earned in played(options, settings, players):
        row, above = _row(earned)
        wrong += above
        rows += 1
        print(markdown_row([source, protocol, *row]), flush=True)
    print(f"\n{wrong} of {rows} where another one scores more than {CEILING}")
    return 1 if wrong else 0


def _row(earned: dict[str, Earned]) -> tuple[list[str], bool]:
    ceiling = earned.pop(CEILING)
    best = max(earned, key=lambda name: earned[name].score)
    most = max(earned, key=lambda name: earned[name].total)
    cells = [
        number(ceiling.score),
        f"{best} {number(earned[best].score)}",
        number(ceiling.total),
        f"{most} {number(earned[most].total)}",
    ]
    return cells, earned[best].score > ceiling.score + _TOLERANCE


if __name__ == "__main__":
    sys.exit(main())

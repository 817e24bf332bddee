"""Every setting of an environment, once: its check, where its default comes from, one line of help.

`resolve`, the list that `python -m finemem_env list` prints and the table of docs/environments.md
all come from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from finemem_env.rewards import ATTRIBUTIONS, REWARDS
from finemem_env.settings import checks
from finemem_env.settings.checks import Check
from finemem_env.settings.protocols import PROTOCOLS

QuestionScope = Literal["current", "seen"]
Dialect = Literal["own", "mem-alpha", "mem-alpha-case-bug", "memoryagentbench"]
PublicationName = Literal["own", "mem-alpha", "memoryagentbench"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One keyword of `gym.make`.

    `default` holds for every protocol, unless the protocols name the setting; a None there means
    that another setting decides (`reward` decides attribution, β and weights).
    """

    name: str
    check: Check
    help: str
    default: object = None

    def defaults(self) -> dict[str, object]:
        """The default under each protocol."""
        return {name: bundle.get(self.name, self.default) for name, bundle in PROTOCOLS.items()}


def _as_given(name: str, value: object) -> object:
    """Checked where the parts of a reward are put together."""
    return value


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "protocol",
            checks.one_of(PROTOCOLS),
            "bundle of the settings below: `managed` (ours), or a publication's",
            "managed",
        ),
        Setting(
            "reward", checks.one_of(REWARDS), "preset of the next three ([rewards.md](rewards.md))"
        ),
        Setting(
            "attribution",
            checks.optional(checks.one_of(ATTRIBUTIONS)),
            "which step a final answer pays",
        ),
        Setting("beta", _as_given, "share of the final score that is attributed, in [0, 1]"),
        Setting(
            "weights",
            _as_given,
            "of `format`, `chunk_qa`, `compression`, `content`: a mapping of those to change",
        ),
        Setting(
            "compression_scale",
            checks.one_of(("step", "episode")),
            "weight of compression: the paper's at every step, or one that does not grow with T",
        ),
        Setting(
            "chunk_question_scope",
            checks.one_of(get_args(QuestionScope)),
            "`current` (only the chunk just read) or `seen` (all so far, still valid)",
        ),
        Setting("chunk_questions", checks.integer(0), "K: chunk questions per step"),
        Setting("memory", checks.one_of(("flat", "hierarchical")), "`flat` or `hierarchical`"),
        Setting(
            "memory_budget",
            checks.budget,
            "tokens (int) or share of the episode's tokens (float)",
        ),
        Setting("max_item_tokens", checks.limit, "longest item in tokens"),
        Setting("max_operations", checks.limit, "most operations of one action"),
        Setting("memory_view", checks.view, "`all`, `recent:K`, `relevant:K`"),
        Setting(
            "max_observation_tokens",
            checks.limit,
            "above it the view falls back to the most relevant items, then clips the chunk visibly",
        ),
        Setting(
            "retriever",
            checks.component,
            '`bm25`, `{"name": "dense", "model": "minilm-l6"}` or a path, or `"module:Class"`',
        ),
        Setting("bm25", checks.one_of(("lucene", "okapi")), "variant of BM25: `lucene` or `okapi`"),
        Setting(
            "top_k", checks.integer(1), "items shown to the reader per question, of each store"
        ),
        Setting(
            "max_read_tokens",
            checks.limit,
            "top_k is lowered until the items of a question fit",
        ),
        Setting(
            "reader",
            checks.component,
            'who answers ([models.md](models.md)): a name, `{"name": …}`, or `"module:Class"`',
            "local",
        ),
        Setting(
            "judge",
            checks.optional(checks.component),
            "a language model that grades; metrics that need one refuse to run without",
        ),
        Setting("answer_tokens", checks.integer(1), "the reader's longest answer in tokens"),
        Setting(
            "metric_dialect",
            checks.one_of(get_args(Dialect)),
            "whose metrics: `own`, `mem-alpha`, `mem-alpha-case-bug`, `memoryagentbench`",
        ),
        Setting(
            "query_prefixes",
            checks.one_of(get_args(PublicationName)),
            "whose words stand before a question",
        ),
        Setting("prefix_in_query", checks.flag, "whether search sees those words"),
        Setting(
            "chunking",
            checks.one_of(get_args(PublicationName)),
            "whose way of cutting documents",
        ),
        Setting(
            "question_fraction",
            checks.fraction,
            "share of the final questions that is scored, drawn from the seed",
            1.0,
        ),
        Setting(
            "tokenizer",
            checks.text,
            '`approx`, or `"hf:PATH"` of a tokenizer.json',
            "approx",
        ),
        Setting(
            "include_instructions",
            checks.flag,
            "put the action grammar in front of every observation",
            False,
        ),
        Setting(
            "line_numbers",
            checks.flag,
            "number the chunk's sentences, so that operations can name them, above",
            False,
        ),
        Setting(
            "media",
            checks.optional(checks.flag),
            "name pictures and sounds, so that operations can keep them ([media.md](media.md)); "
            "None: where the source has some",
        ),
    )
}

# Keywords of `gym.make` that choose the data; they have no protocol. Default and help.
SOURCE_KEYWORDS: dict[str, tuple[str, str]] = {
    "source": (
        '`"synthetic"`',
        "a source, a `{name: weight}` mixture, the path of an episode file, or `module:Class`; "
        "in Python an iterable too, below",
    ),
    "split": ('`"train"`', "`train`, `val` or `test`; one that an episode file lacks is an error"),
    "data_dir": ("`$FINEMEM_DATA`", "parent folder of the sources' folders"),
    "difficulty": ("None", "knobs of the source ([data.md](data.md))"),
    "exclude": (
        "None",
        "ids of questions that are never asked, or a file of them ([data.md](data.md))",
    ),
    "on_error": (
        '`"raise"`',
        "`skip` leaves flawed records of the source's files out and says how many and where",
    ),
    "num_chunks": ("None", "chunks per episode of packed and generated sources"),
    "chunk_tokens": ("None", 'their size: a number or `[min, max]` tokens, or `"auto"`, below'),
    "render_mode": ("None", '`"ansi"` or `"human"`'),
}


def markdown() -> str:
    """The table of keywords for the documentation."""
    return "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    yield "| keyword | default | meaning |"
    yield "|---|---|---|"
    for name, (default, text) in SOURCE_KEYWORDS.items():
        yield f"| {name} | {default} | {text} |"
    for setting in SETTINGS.values():
        yield f"| {setting.name} | {_default(setting)} | {setting.help} |"


def _default(setting: Setting) -> str:
    """`managed`'s default, and those of the protocols that differ."""
    if setting.name in ("attribution", "beta", "weights"):
        return "of the reward"
    managed, *others = setting.defaults().items()
    differing = [f"{name}: {_shown(value)}" for name, value in others if value != managed[1]]
    return "; ".join([_shown(managed[1]), *differing])


def _shown(value: object) -> str:
    return "None" if value is None else f"`{json.dumps(value)}`"

"""The sub-datasets of Mem-α and MemoryAgentBench: competency, metric and query prefix of each.

A metric dialect is one publication's rules. "own" are this project's metrics; "mem-alpha" and
"memoryagentbench" are the published ones; "mem-alpha-case-bug" is Mem-α's with the bug by which
capitalised keywords of a list are never found. Prefixes tell a model reader how to answer: their
wording is ours (prompt file "query/1").
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, get_args, runtime_checkable

from finemem_env.errors import DataError
from finemem_env.prompts import load_prompt
from finemem_env.scoring import is_judged
from finemem_env.settings import Dialect
from finemem_env.types import AnswersMode, Competency, Episode, Question, Task

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
ORIGINAL = " (original)"  # marks a name whose golds differ from the processed data set's
_PROMPT = "query/1"
_CASE_BUG = {"mem-alpha/keywords": "mem-alpha/keywords_case_bug"}


@dataclass(frozen=True, slots=True)
class Published:
    """One family of sub-datasets.

    `metrics` are (own, Mem-α, MemoryAgentBench); `prefixes` name sections of the prompt file for
    (Mem-α, MemoryAgentBench), "" for none. `chunk_tokens` are (Mem-α, MemoryAgentBench), and
    `answer_tokens` MemoryAgentBench's longest answer.
    """

    competency: Competency
    task: Task
    metrics: tuple[str, str, str]
    prefixes: tuple[str, str] = ("", "answer")
    chunk_tokens: tuple[int, int] = (2048, 4096)
    answers_mode: AnswersMode = "any"
    answer_tokens: int = 50

    def metric(self, dialect: str) -> str:
        """The metric under a dialect of `DIALECTS`."""
        if dialect == "own":
            return self.metrics[0]
        if dialect == "memoryagentbench":
            return self.metrics[2]
        metric = self.metrics[1]
        return _CASE_BUG.get(metric, metric) if dialect == "mem-alpha-case-bug" else metric

    def prefix(self, prefixes: str) -> str:
        """The query prefix of a publication, "" for none."""
        sections = {"own": "", "mem-alpha": self.prefixes[0], "memoryagentbench": self.prefixes[1]}
        section = sections[prefixes]
        return load_prompt(_PROMPT).sections[section] + "\n\n" if section else ""


_SUBSTRING = ("substring_exact_match", "mem-alpha/contains", "mab/substring_exact_match")
_SUBSTRING_MAB = ("substring_exact_match", "mab/substring_exact_match", "mab/substring_exact_match")
_LABEL = ("boxed_label", "mem-alpha/boxed_digits", "mab/label")
_JUDGED = ("judge", "mem-alpha/judge", "mab/judge")
_RECALL = ("recall@5", "mab/recall@5", "mab/recall@5")
_SMALL = (2048, 512)


def _labels(prefix: str) -> Published:
    return Published("TTL", "label", _LABEL, (prefix, "label"), (1024, 4096), answer_tokens=20)


def _summary(own: str, mem_alpha: str, mab: str = "mab/rouge_l") -> Published:
    prefixes = ("summary", "book")
    return Published("LRU", "summary", (own, mem_alpha, mab), prefixes, answer_tokens=1200)


def _edits(task: Task) -> Published:
    return Published("CR", task, _SUBSTRING_MAB, ("", "edit"), _SMALL, answer_tokens=10)


# The first pattern that matches the start of a name decides.
_RULES: tuple[tuple[str, Published], ...] = (
    (r"squad", Published("AR", "fact", _SUBSTRING)),
    (r"hotpotqa", Published("AR", "multi_hop", _SUBSTRING)),
    (r"musique", Published("AR", "multi_hop", _SUBSTRING)),
    (
        r"perltqa",
        Published(
            "AR", "fact", ("keyword_fraction", "mem-alpha/keywords", "mab/substring_exact_match")
        ),
    ),
    (r"lme_train|longmemeval", Published("AR", "fact", _JUDGED, ("", "dialogue"), _SMALL)),
    (r"ruler_qa1", Published("AR", "fact", _SUBSTRING_MAB, chunk_tokens=_SMALL)),
    (r"ruler_qa2", Published("AR", "multi_hop", _SUBSTRING_MAB, chunk_tokens=_SMALL)),
    (
        r"eventqa",
        Published(
            "AR",
            "fact",
            ("substring_exact_match", "mab/all_contained", "mab/all_contained"),
            ("", "event"),
            answers_mode="all",
            answer_tokens=40,
        ),
    ),
    (r"icl_trec|trec|pubmed|csabstruct", _labels("labels")),
    (r"icl_|ttl|nlu|banking77|clinc150", _labels("labels_and_examples")),
    (
        r"recsys|redial",
        Published("TTL", "fact", _RECALL, ("", "recommendation"), answer_tokens=300),
    ),
    (r"booksum", _summary("keyword_fraction", "mem-alpha/summary")),
    (
        r"infbench_sum.*" + re.escape(ORIGINAL),
        _summary("rouge_l_content", "mab/rouge_l", "mab/summary_judge"),
    ),
    (r"infbench_sum", _summary("keyword_fraction", "mem-alpha/summary_evaluation")),
    (
        r"qmsum",
        Published(
            "LRU", "summary", ("rouge_l_content", "mab/rouge_l", "mab/rouge_l"), answer_tokens=1200
        ),
    ),
    (
        r"detective",
        Published(
            "LRU",
            "fact",
            ("exact_match", "mab/boxed_choice", "mab/exact_match"),
            ("", "choice"),
            answer_tokens=2000,
        ),
    ),
    (r"factconsolidation_mh", _edits("multi_hop")),
    (r"factconsolidation", _edits("fact")),
)


@runtime_checkable
class PublishedSource(Protocol):
    """A source of published sub-datasets, which says what it holds before anything is drawn."""

    @property
    def data_sources(self) -> frozenset[str]:
        """The sub-datasets of its episodes, as `rule_for` names them."""
        ...

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where the data came from: "commit" (or "local") and "sha256" of the content."""
        ...


@lru_cache(maxsize=256)
def rule_for(data_source: str) -> Published | None:
    """The rule of a sub-dataset by its published name, None for a name that no rule knows."""
    for pattern, rule in _RULES:
        if re.match(pattern, data_source.casefold()):
            return rule
    return None


def known_rule(data_source: str, where: str) -> Published:
    """The rule of a sub-dataset that must have one.

    Raises:
        DataError: no rule knows the name.
    """
    rule = rule_for(data_source)
    if rule is None:
        names = ", ".join(pattern.replace("\\", "") for pattern, _ in _RULES)
        raise DataError(
            f"{where}: expected a sub-dataset of Mem-alpha or MemoryAgentBench, whose name starts "
            f"with one of {names}, found {data_source!r}."
        )
    return rule


def judged_under(data_sources: frozenset[str], dialect: str) -> list[str]:
    """Those sub-datasets whose metric needs a judge under a dialect, sorted."""
    rules = {name: rule_for(name) for name in sorted(data_sources)}
    return [name for name, rule in rules.items() if rule and is_judged(rule.metric(dialect))]


def data_source_of(episode: Episode) -> str:
    """The sub-dataset that an episode is of: its metadata's, else the name of its source."""
    name = str(episode.metadata.get("data_source", episode.source))
    return name + ORIGINAL if episode.metadata.get("original") else name


def plain_name(data_source: str) -> str:
    """A sub-dataset's published name, without the mark of the original golds."""
    return data_source.removesuffix(ORIGINAL)


def in_dialect(episode: Episode, dialect: str, prefixes: str) -> Episode:
    """`episode` with the metrics and query prefixes of a publication on its final questions.

    A question's own prefix, such as the date on which it is asked, comes after them.
    MemoryAgentBench's bring its longest answers along, in the questions' metadata. An episode of no
    published sub-dataset, or with both names "own", is returned as it is.
    """
    if dialect == prefixes == "own":
        return episode
    rule = rule_for(data_source_of(episode))
    if rule is None:
        return episode

    more = {"answer_tokens": rule.answer_tokens} if prefixes == "memoryagentbench" else {}

    def changed(question: Question) -> Question:
        return dataclasses.replace(
            question,
            metric=question.metric if dialect == "own" else rule.metric(dialect),
            query_prefix=("" if prefixes == "own" else rule.prefix(prefixes))
            + question.query_prefix,
            metadata={**question.metadata, **more},
        )

    return dataclasses.replace(episode, questions=tuple(map(changed, episode.questions)))

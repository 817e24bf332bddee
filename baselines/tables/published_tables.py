"""The published result tables of Mem-α and MemoryAgentBench, and the columns they have.

Numbers are those of the papers: arXiv 2509.25911 and arXiv 2507.05257 (ICLR 2026, Table 3).
`reported` is the average that the paper prints; every other average is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    `data_sources` are the sub-datasets that it averages, as their publishers name them, and
    `rebuilt` the sources of this project that make the same kind of data from other files; of
    "one|other" the first that has its files.
    """

    name: str
    competency: str
    data_sources: tuple[str, ...]
    rebuilt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One published line: a score for every column, the average printed beside them, memory."""

    method: str
    scores: tuple[float, ...]
    reported: float
    memory: float | None = None  # thousands of tokens


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A published table and how its columns are filled.

    `source` and `protocol` are what the command plays; `chunks` are the most chunks an episode of a
    rebuilt source has. `headline` is the average that the publication reports: "mean" of the
    columns, or "macro" over competencies.
    """

    name: str
    title: str
    source: str
    protocol: str
    columns: tuple[Column, ...]
    rows: tuple[PublishedRow, ...]
    headline: str
    chunks: int


def mean(scores: Sequence[float | None]) -> float | None:
    """Arithmetic mean; None unless all are there."""
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(scores) else None


def macro(columns: Sequence[Column], scores: Sequence[float | None]) -> float | None:
    """Mean over competencies of the mean over their columns; None unless all are there."""
    groups: dict[str, list[float | None]] = {}
    for column, score in zip(columns, scores, strict=True):
        groups.setdefault(column.competency, []).append(score)
    return mean([mean(group) for group in groups.values()])


def _rows(text: str, unit: float = 1.0) -> tuple[PublishedRow, ...]:
    """Lines of "method | scores | reported | memory"; memory may be missing, 1 is `unit`."""
    rows = []
    for line in text.strip().splitlines():
        method, scores, reported, *memory = (part.strip() for part in line.split("|"))
        rows.append(
            PublishedRow(
                method,
                tuple(float(score) / unit for score in scores.split()),
                float(reported) / unit,
                float(memory[0]) if memory else None,
            )
        )
    return tuple(rows)


_MEMALPHA = """
Long-Context (Qwen3-32B, last 32k) | .742 .852 .605 .623 .708 .533 .052 | .588 | 10.8
RAG-Top2 | .762 .849 .623 .612 .508 .570 .042 | .567 | 11.3
MemAgent-14B | .091 .140 .052 .562 .290 .343 .103 | .236 | 0.84
MEM1-7B | .039 .083 .068 .269 .056 .175 .085 | .111 | 0.17
Mem-α 4B (β .05, γ .1) | .786 .832 .659 .666 .658 .545 .187 | .642 | 7.9
Qwen3-4B, not trained | .338 .637 .557 .416 .381 .281 .130 | .389 | 3.9
gpt-4.1-mini | .426 .749 .492 .637 .519 .544 .246 | .517 | 4.8
Mem-α, β .05, γ 0 | .701 .802 .652 .423 .542 .501 .183 | .543 | 7.5
Mem-α, β 0, γ .1 | .817 .853 .678 .605 .629 .572 .183 | .630 | 7.9
Mem-α, β .2, γ .1 | .822 .838 .615 .558 .176 .401 .193 | .525 | 4.7
Mem-α, β .4, γ .1 | .691 .810 .533 .475 .405 .455 .201 | .509 | 3.6
"""
_MEMALPHA_MAB = """
Long-Context (Qwen3-32B, last 32k) | .280 .270 .292 .640 .740 .340 .860 .770 .125 | .461 | 33
RAG-Top2 | .690 .450 .581 .690 .650 .210 .700 .750 .065 | .502 | 207
MemAgent-14B | .070 .160 .050 .370 .260 .210 .250 .370 .043 | .198 | 0.92
MEM1-7B | .070 .180 .090 .180 0 0 .090 0 .029 | .071 | 0.21
Mem-α 4B (β .05, γ .1) | .740 .680 .520 .710 .710 .410 .730 .700 .129 | .592 | 129
Mem-α, β .05, γ 0 | .420 .340 .527 .480 .640 .200 .720 .550 .108 | .445 | 87
Mem-α, β 0, γ .1 | .770 .610 .387 .690 .730 .370 .780 .770 .109 | .580 | 127
Mem-α, β .2, γ .1 | .710 .730 .367 .810 .270 .280 .140 .020 .113 | .351 | 87
Mem-α, β .4, γ .1 | .590 .610 .453 .500 .360 .190 .170 .380 .119 | .375 | 55
"""
_MAB = """
GPT-4o | 72 51 32 77.2 87.6 12.3 32.2 77.5 60 5 | 48.8
GPT-4o-mini | 64 43 30.7 59 82 15.1 28.9 63.4 45 5 | 42.2
GPT-4.1-mini | 83 66 55.7 82.6 75.6 16.7 41.9 56.3 36 5 | 46.9
GPT-5-mini | 85 71 63.3 78.2 84 13.2 56.3 76.1 78 28 | 60.6
Gemini-2.0-Flash | 87 59 47 67.2 84 8.7 23.9 59.2 30 3 | 42.4
Claude-3.7 | 77 53 34 74.6 89.4 18.3 52.5 71.8 43 2 | 49.6
BM25 | 66 56 45.3 74.6 75.4 13.6 19 52.1 48 3 | 41.5
Contriever | 22 31 15.7 66.8 70.6 15.2 17.2 42.3 18 7 | 29.8
text-embedding-3-small | 60 44 48.3 63 70 15.3 17.7 54.9 28 3 | 37.1
text-embedding-3-large | 54 44 50.3 70 72.4 16.2 18.2 56.3 28 4 | 38.0
Qwen3-Embedding-4B | 57 47 43.3 71.4 78 12.2 14.8 59.2 29 3 | 38.2
RAPTOR | 29 38 34.3 45.8 59.4 12.3 13.4 42.3 14 1 | 27.0
GraphRAG | 47 47 35 34.4 39.8 9.8 0.4 39.4 14 2 | 23.4
MemoRAG | 29 33 20 56 77 13.1 9.2 50.7 21 7 | 30.9
HippoRAG-v2 | 76 66 50.7 67.6 61.4 10.2 14.6 57.7 54 5 | 41.6
Mem0 | 25 32 36 37.5 32.4 10 4.8 36.6 18 2 | 21.1
Cognee | 31 26 29.3 26.8 35.4 10.1 2.3 29.6 28 3 | 20.6
Zep | 44 25 38.3 42.5 62.8 12.1 4.2 28.2 7 3 | 24.0
Self-RAG | 35 42 25.7 31.8 11.6 12.8 0.9 35.2 19 3 | 18.7
MemGPT | 41 38 32 26.2 67.6 14 2.5 42.3 28 3 | 28.3
MIRIX | 62 61 37.3 29.8 38.4 9.8 9.9 40.8 14 2 | 26.2
MIRIX (gpt-4.1-mini) | 73 75 51 53 61 10.3 18.9 62 20 3 | 37.7
"""

_NLU = "icl_nlu_8296shot_balance"
_TREC_COARSE = "icl_trec_coarse_6600shot_balance"
_TREC_FINE = "icl_trec_fine_6400shot_balance"
_CLINIC = "icl_clinic150_7050shot_balance"
_BANKING = "icl_banking77_5900shot_balance"
_SINGLE, _MULTI, _DIALOGUES = "ruler_qa1_197K", "ruler_qa2_421K", "longmemeval_s*"
_SUMMARY = "infbench_sum_eng_shots2"

TABLES: Mapping[str, PublishedTable] = {
    table.name: table
    for table in (
        PublishedTable(
            "memalpha",
            "Memalpha, validation set (Mem-α)",
            "memalpha",
            "mem-alpha",
            (
                Column("SQuAD", "AR", ("squad",), ("squad",)),
                Column("HotpotQA", "AR", ("hotpotqa",), ("hotpotqa",)),
                Column("PerLTQA", "AR", ("perltqa",), ("perltqa",)),
                Column("TREC-C", "TTL", (_TREC_COARSE,), ("trec_coarse",)),
                Column("NLU", "TTL", (_NLU,), ("nlu",)),
                Column("PubMed", "TTL", ("pubmed-rct",), ("pubmed_rct|csabstruct",)),
                Column("BookSum", "LRU", ("booksum",), ("booksum_squality",)),
            ),
            _rows(_MEMALPHA),
            "mean",
            10,
        ),
        PublishedTable(
            "memalpha-mab",
            "MemoryAgentBench as Mem-α processed it",
            "memoryagentbench",
            "mem-alpha",
            (
                Column("SH", "AR", (_SINGLE,), ("squad",)),
                Column("MH", "AR", (_MULTI,), ("hotpotqa",)),
                Column("LME", "AR", (_DIALOGUES,), ("longmemeval",)),
                Column("TREC-C", "TTL", (_TREC_COARSE,), ("trec_coarse",)),
                Column("NLU", "TTL", (_NLU,), ("nlu",)),
                Column("TREC-F", "TTL", (_TREC_FINE,), ("trec_fine",)),
                Column("Clinic", "TTL", (_CLINIC,), ("clinc150",)),
                Column("Banking", "TTL", (_BANKING,), ("banking77",)),
                Column("InfBench", "LRU", (_SUMMARY,), ("booksum_squality",)),
            ),
            _rows(_MEMALPHA_MAB),
            "mean",
            20,
        ),
        PublishedTable(
            "memoryagentbench",
            "MemoryAgentBench",
            "memoryagentbench",
            "memoryagentbench",
            (
                Column("SH-Doc", "AR", (_SINGLE,), ("squad",)),
                Column("MH-Doc", "AR", (_MULTI,), ("hotpotqa",)),
                Column("LME", "AR", (_DIALOGUES,), ("longmemeval",)),
                Column("EventQA", "AR", ("eventqa_full",)),
                Column(
                    "MCC",
                    "TTL",
                    (_BANKING, _CLINIC, _NLU, _TREC_COARSE, _TREC_FINE),
                    ("banking77", "clinc150", "nlu", "trec_coarse", "trec_fine"),
                ),
                Column("Recom", "TTL", ("recsys_redial_full",), ("redial",)),
                Column("Summ", "LRU", (_SUMMARY,), ("squality",)),
                Column("DetQA", "LRU", ("detective_qa",)),
                Column("FC-SH", "CR", ("factconsolidation_sh_262k",), ("factconsolidation_sh",)),
                Column("FC-MH", "CR", ("factconsolidation_mh_262k",), ("factconsolidation_mh",)),
            ),
            _rows(_MAB, 100.0),
            "macro",
            20,
        ),
    )
}

"""Records that cross module borders. Frozen, validated where they are made, free of behaviour.

Indices are 0-based everywhere: chunk t, step t (the step that read chunk t), evidence chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

Competency = Literal["AR", "TTL", "LRU", "CR"]
AnswersMode = Literal["any", "all", "fraction"]
Task = Literal["fact", "multi_hop", "label", "summary", "choice"]
MediumKind = Literal["image", "audio"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a gold answer is written: a chunk and, where the source says so, the sentence."""

    chunk: int
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its gold answers and the rule that scores a prediction.

    `asked_after` = i: a final question asked right after step i instead of at the end.
    `valid_until` = i: a chunk question whose gold holds up to and including step i (None: always).
    `metadata`: what a metric needs beside the golds (JSON-able), as "mab/recall@5" does titles.
    `unanswerable`: nothing told answers it, and to say so is the right answer; the golds then only
    explain or stand for that.
    `excluded`: other values of what is asked. An answer that holds one of them beside the gold
    lists alternatives, and is wrong; what stands in the question or in a gold does not count.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    metric: str = "substring_exact_match"
    answers_mode: AnswersMode = "any"
    type: Task = "fact"
    choices: tuple[str, ...] = ()
    query_prefix: str = ""
    asked_after: int | None = None
    valid_until: int | None = None
    evidence: tuple[Evidence, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict, hash=False)
    unanswerable: bool = False
    excluded: tuple[str, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class Medium:
    """A picture or a sound of a chunk.

    `text`: caption, transcript or text that is to be seen, for who does not see or hear it. `data`:
    the bytes of the file, b"" where there is none. `name` ("m1") and `tokens`, what the file costs
    beside the text, are given when the chunk is read.
    """

    kind: MediumKind
    text: str = ""
    data: bytes = field(default=b"", repr=False)
    name: str = ""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the manager reads at one step, with the questions that probe it right after."""

    id: str
    text: str
    time: str | None = None
    questions: tuple[Question, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    media: tuple[Medium, ...] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """A long context cut into chunks, with the final questions. Schema: `finemem-episode/1`."""

    episode_id: str
    competency: Competency
    source: str
    chunks: tuple[Chunk, ...]
    questions: tuple[Question, ...]
    metadata: Mapping[str, object] = field(default_factory=dict)


class Op(StrEnum):
    """The four memory operations of Fine-Mem (§3)."""

    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    SKIP = "SKIP"


class RejectReason(StrEnum):
    """Why an emitted operation was not applied. All but MEMORY_FULL count against r_fmt."""

    NO_OPERATION = "no operation found"
    UNKNOWN_OPERATION = "unknown operation"
    MISSING_FIELD = "missing field"
    WRONG_TYPE = "wrong type"
    EMPTY_CONTENT = "empty content"
    UNKNOWN_ID = "unknown id"
    EXACT_DUPLICATE = "exact duplicate"
    NO_CHANGE = "no change"
    CONTENT_TOO_LONG = "content too long"
    TOO_MANY_OPERATIONS = "too many operations"
    SKIP_NOT_ALONE = "SKIP beside another operation"
    MEMORY_FULL = "memory full"
    MALFORMED = "malformed"
    ACTION_TOO_LONG = "action too long"
    UNKNOWN_STORE = "unknown store"
    UNKNOWN_LINE = "unknown line"
    UNKNOWN_MEDIUM = "unknown medium"


@dataclass(frozen=True, slots=True)
class Operation:
    """A well-formed operation: `item_id` for UPDATE, DELETE; `content` for INSERT, UPDATE.

    `lines`: the numbers of the chunk's sentences that `content` was named by, from 1; none where it
    was written out. `media`: names of pictures and sounds that the item keeps, whose text form is
    not in `content`.
    """

    op: Op
    content: str | None = None
    item_id: int | None = None
    store: str | None = None
    lines: tuple[int, ...] = ()
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What became of one emitted operation: accepted when `reason` is None.

    `name` is the operation name as understood ("" when none could be read) and `item_id` the item
    it made or touched, None where there is none. `lines` and `media` are those of the operation.
    """

    name: str
    reason: RejectReason | None = None
    item_id: int | None = None
    lines: tuple[int, ...] = ()
    media: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the operation was applied."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Limits:
    """What operations must keep to be accepted, None for no limit.

    Tokens of one item, operations of one step, tokens of the whole memory.
    """

    max_item_tokens: int | None = None
    max_operations: int | None = None
    memory_budget: int | None = None


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One question for the reader, with the texts it may use, best ranked first.

    The reader sees texts only: no ids, steps, golds or scores. `media`: what each item keeps, in
    the order of `items`, whose texts hold its text form; () where none keeps any.
    """

    question: str
    items: tuple[str, ...]
    task: Task = "fact"
    choices: tuple[str, ...] = ()
    query_prefix: str = ""
    answer_tokens: int = 40
    core: str = ""
    media: tuple[tuple[Medium, ...], ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is shown: the items, and the core behind them where there is one."""
        return (*self.items, self.core) if self.core else self.items


@dataclass(frozen=True, slots=True)
class Answer:
    """A reader's reply. `used`: (item index in the request, sentence index in that item or None).

    Sentences are those of `text.split_sentences`. `failed` marks an infrastructure failure, which
    is never scored as a wrong answer. `tokens` counts what the call cost (prompt + completion).
    """

    text: str
    used: tuple[tuple[int, int | None], ...] = ()
    failed: bool = False
    tokens: int = 0


@runtime_checkable
class Reader(Protocol):
    """The frozen reasoning agent: answers a batch of questions from the texts shown to it."""

    @property
    def version(self) -> str:
        """Name and version that pin its behaviour, e.g. `local/2`."""
        ...

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """One `Answer` per request, in order."""
        ...


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One grading call: `text` is the whole prompt, `prompt` names it with its version.

    `temperature` and `max_tokens` are those of the published judge where there is one.
    """

    text: str
    prompt: str
    max_tokens: int = 512
    temperature: float = 0.0


@runtime_checkable
class Judge(Protocol):
    """A model that grades: answers with judged metrics, and written content (Mem-α)."""

    @property
    def version(self) -> str:
        """Name and version that pin its behaviour."""
        ...

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Answer]:
        """The reply to each request, in order; a call that failed is a failed `Answer`."""
        ...

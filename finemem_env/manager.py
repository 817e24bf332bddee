"""A memory manager outside the environments: feed it texts, search what it kept.

    from finemem_env import MemoryManager
    from finemem_env.backends.policy import ModelPolicy
    from finemem_env.backends.registry import make_backend

    backend = make_backend({"name": "transformers", "model": "runs/grpo/export"})
    memory = MemoryManager(ModelPolicy(backend), memory_budget=4000)
    memory.observe("My sister Mara moved to Osta in May.", time="2024-05-03")
    for item in memory.search("Where does Mara live?", k=3):
        print(item.id, item.content)
    memory.save("memory.json")

The policy sees what it saw in training, with the same settings: the same memory and grammar, the
same `info`, and, where `num_chunks` (and of a budget that is a share, `input_tokens`) are known
beforehand as they are in an episode, the same observations byte for byte.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import read_object
from finemem_env.media import called
from finemem_env.memory import Item, Memory, Workspace
from finemem_env.operations import parse
from finemem_env.retrieval import Retriever
from finemem_env.session.feed import tokens_of
from finemem_env.session.info import agent_info, versions_of
from finemem_env.settings import UNLIMITED, Settings, resolve
from finemem_env.text import make_counter, split_sentences
from finemem_env.types import Chunk, Medium, OperationResult, RejectReason

MEMORY_SCHEMA = "finemem-memory/1"
_EPISODE = "manager"  # what the policy is told instead of the id of an episode
_Retrieval = str | Mapping[str, object] | Retriever


@runtime_checkable
class ManagerPolicy(Protocol):
    """What edits the memory: a trained agent, `ModelPolicy`, any agent of the benchmark."""

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        """Operations, as text, for the chunk and memory that `observation` shows."""
        ...


class MemoryManager:
    """Keeps a memory of texts as they come.

    Args:
        policy: has `act(observation, info) -> str`, or is a function from observation to text.
        retriever: "bm25", a mapping such as {"name": "dense", "model": …}, or a `Retriever`.
        memory_budget: most tokens of the memory; a float is a share of `input_tokens`; None for no
            limit.
        chunk_tokens: longer texts are read in parts of so many tokens, cut between sentences.
        memory_view: what the policy sees of the memory: "all", "recent:K" or "relevant:K".
        max_observation_tokens: bound on an observation, None for none.
        tokenizer: "approx" or "hf:PATH", the one that the policy was trained with.
        memory: "flat", or "hierarchical" (Mem-α's core, semantic and episodic store).
        max_item_tokens: most tokens of an item; "unlimited", or None for the default of the ids.
        max_operations: most operations on one text; the same.
        bm25: the variant of retriever "bm25", "lucene" or "okapi".
        include_instructions: put the instructions in front of every observation.
        line_numbers: number the sentences of every text, so that operations can name them.
        media: name pictures and sounds, so that operations can keep them; else their text form
            alone is read.
        num_chunks: how many texts there will be, which an episode tells; None: unknown ("?").
        input_tokens: their tokens, of which a budget may be a share; None: those read so far.

    Raises:
        ConfigError: a policy without `act`, or a setting that does not fit.
    """

    def __init__(
        self,
        policy: ManagerPolicy | Callable[[str], str],
        retriever: _Retrieval = "bm25",
        *,
        memory_budget: float | None = None,
        chunk_tokens: int = 2048,
        memory_view: str = "all",
        max_observation_tokens: int | None = None,
        tokenizer: str = "approx",
        memory: str = "flat",
        max_item_tokens: int | str | None = None,
        max_operations: int | str | None = None,
        bm25: str = "lucene",
        include_instructions: bool = False,
        line_numbers: bool = False,
        media: bool = False,
        num_chunks: int | None = None,
        input_tokens: int | None = None,
    ) -> None:
        if not (isinstance(policy, ManagerPolicy) or callable(policy)):
            raise ConfigError(
                f"policy: expected act(observation, info) or a function, got {policy!r}."
            )
        self.policy = policy
        self.settings: dict[str, Any] = {
            "memory_budget": memory_budget,
            "chunk_tokens": chunk_tokens,
            "memory_view": memory_view,
            "max_observation_tokens": max_observation_tokens,
            "tokenizer": tokenizer,
            "memory": memory,
            "max_item_tokens": max_item_tokens,
            "max_operations": max_operations,
            "bm25": bm25,
            "include_instructions": include_instructions,
            "line_numbers": line_numbers,
            "media": media,
            "num_chunks": num_chunks,
            "input_tokens": input_tokens,
        }
        for name in ("chunk_tokens", "num_chunks", "input_tokens"):
            count = self.settings[name]
            if count is not None and not (type(count) is int and count >= 1):
                raise ConfigError(f"{name}: expected an integer ≥ 1, got {count!r}.")
        self._named = None if isinstance(retriever, Retriever) else retriever
        self._count_tokens = make_counter(tokenizer)
        self.workspace = Workspace(
            _resolved(self.settings, self._named),
            self._count_tokens,
            input_tokens=input_tokens or 0,
            retriever=retriever if isinstance(retriever, Retriever) else None,
        )
        self.steps = 0
        self.tokens_read = self.media_read = 0
        self._last: tuple[OperationResult, ...] = ()

    @property
    def memory(self) -> Memory:
        """The memory itself: `items()`, `tokens`, and `core` of a hierarchical one."""
        return self.workspace.memory

    def observe(
        self, text: str, *, time: str | None = None, media: Sequence[Medium] = ()
    ) -> tuple[OperationResult, ...]:
        """Read a text and edit the memory; returns what became of each operation.

        An error of the policy leaves the memory as it was before the text.

        Args:
            text: a message, a page, a document.
            time: when it was said or written, shown to the policy.
            media: pictures and sounds that come with it, of a longer text with its last part.

        Raises:
            DataError: a medium whose data are not of its kind.
        """
        named = called(media, self.media_read)
        before = self.memory.snapshot()
        counts = self.steps, self.tokens_read, self.media_read, self._last
        results: list[OperationResult] = []
        try:
            *parts, last = self._parts(text)
            for part in parts:
                results.extend(self._step(Chunk(f"c{self.steps}", part, time)))
            results.extend(self._step(Chunk(f"c{self.steps}", last, time, media=named)))
            self.media_read += len(named)
        except BaseException:
            self.workspace.restore(before)
            self.steps, self.tokens_read, self.media_read, self._last = counts
            raise
        return tuple(results)

    def search(self, query: str, k: int = 5) -> tuple[Item, ...]:
        """At most `k` items that fit the query, best first.

        Of a hierarchical memory at most `k` of each store, store after store; the core, which is
        part of every answer, is `memory.core`.
        """
        return self.workspace.search(query, k)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write memory and settings as JSON, aside and renamed; the policy is not written."""
        target = Path(path)
        record = {
            "schema": MEMORY_SCHEMA,
            "retriever": self._named,
            "settings": self.settings,
            "steps": self.steps,
            "tokens_read": self.tokens_read,
            "media_read": self.media_read,
            "operations": [dataclasses.asdict(result) for result in self._last],
            "memory": self.memory.snapshot(),
        }
        handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(record, out, ensure_ascii=False, default=dict)
            os.replace(aside, target)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        policy: ManagerPolicy | Callable[[str], str],
        retriever: _Retrieval | None = None,
    ) -> Self:
        """The manager that `save` wrote, with `policy`.

        Args:
            path: the file.
            policy: who edits the memory from here on.
            retriever: None for the saved one; needed where that was an object.

        Raises:
            DataError: the file cannot be read or is none of these.
        """
        record = _read(Path(path))
        chosen = record.get("retriever") if retriever is None else retriever
        if chosen is None:
            raise DataError(f"{path}: saved with a retriever object; give load() one.")
        try:
            made = cls(policy, chosen, **record["settings"])
            made.workspace.restore(record["memory"])
            made.steps, made.tokens_read = int(record["steps"]), int(record["tokens_read"])
            made.media_read = int(record.get("media_read", 0))
            made._last = tuple(_result(**result) for result in record.get("operations", ()))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a saved memory: {error!r}.") from error
        return made

    def _step(self, chunk: Chunk) -> tuple[OperationResult, ...]:
        tokens = tokens_of(chunk, self._count_tokens, bool(self.settings["media"]))
        self.tokens_read += tokens
        if self.settings["input_tokens"] is None:
            self.workspace.set_input(self.tokens_read)
        total = self.settings["num_chunks"]
        known = -1 if total is None or self.steps >= total else total
        observation = self.workspace.render(chunk, tokens, self.steps, known)
        lines, media = self.workspace.lines(chunk), self.workspace.media(chunk)
        action = self._act(observation, known, lines, media)
        parsed = parse(action, lines, media=media is not None)
        self._last = self.workspace.apply(self.steps, parsed, media or ()).results
        self.steps += 1
        return self._last

    def _act(
        self,
        observation: str,
        num_chunks: int,
        lines: tuple[str, ...] | None,
        media: tuple[Medium, ...] | None,
    ) -> str:
        if not isinstance(self.policy, ManagerPolicy):
            return self.policy(observation)
        versions = versions_of(self.workspace, "")
        return self.policy.act(
            observation,
            agent_info(
                self.workspace, _EPISODE, self.steps, num_chunks, self._last, versions, lines, media
            ),
        )

    def _parts(self, text: str) -> Iterator[str]:
        """The text whole, or sentences joined up to `chunk_tokens`."""
        limit = self.settings["chunk_tokens"]
        if self._count_tokens(text) <= limit:
            yield text
            return
        part: list[str] = []
        size = 0
        for sentence in split_sentences(text):
            tokens = self._count_tokens(sentence) + 1
            if part and size + tokens > limit:
                yield "\n".join(part)
                part, size = [], 0
            part.append(sentence)
            size += tokens
        if part:
            yield "\n".join(part)


def _resolved(given: Mapping[str, Any], retriever: str | Mapping[str, object] | None) -> Settings:
    """The settings of the environment that a manager's are, in which None has other meanings."""
    own = ("chunk_tokens", "num_chunks", "input_tokens")
    limits = {
        name: UNLIMITED if given[name] is None else given[name]
        for name in ("memory_budget", "max_observation_tokens")
    }
    shared = {name: value for name, value in given.items() if name not in (*own, *limits)}
    return resolve(**shared, **limits, retriever=retriever)


def _result(
    name: str,
    reason: str | None,
    item_id: int | None,
    lines: Sequence[int] = (),
    media: Sequence[str] = (),
) -> OperationResult:
    known = None if reason is None else RejectReason(reason)
    return OperationResult(name, known, item_id, tuple(lines), tuple(media))


def _read(path: Path) -> dict[str, Any]:
    record = read_object(path)
    if record.get("schema") != MEMORY_SCHEMA:
        raise record.error("schema", repr(MEMORY_SCHEMA))
    return record.mapping_of_all()

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

The policy sees what it saw in training: the same observations, the same grammar, the same memory.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from finemem_env.errors import ConfigError, DataError
from finemem_env.memory import Change, Item, Memory, ObservationView
from finemem_env.operations import parse
from finemem_env.prompts import INSTRUCTIONS
from finemem_env.retrieval import Retriever, make_retriever
from finemem_env.settings import UNLIMITED, resolve
from finemem_env.text import make_counter, split_sentences
from finemem_env.types import Chunk, OperationResult

__all__ = ["MEMORY_SCHEMA", "ManagerPolicy", "MemoryManager"]

MEMORY_SCHEMA = "finemem-memory/1"
_MAX_CHARS = 2**22  # longest observation
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
        memory_budget: most tokens of the memory; a float is a share of the tokens read so far; None
            for no limit.
        chunk_tokens: longer texts are read in parts of so many tokens, cut between sentences.
        memory_view: what the policy sees of the memory: "all", "recent:K" or "relevant:K".
        max_observation_tokens: bound on an observation, None for none.
        tokenizer: "approx" or "hf:PATH", the one that the policy was trained with.

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
    ) -> None:
        if not (isinstance(policy, ManagerPolicy) or callable(policy)):
            raise ConfigError(
                f"policy: expected act(observation, info) or a function, got {policy!r}."
            )
        if chunk_tokens < 1:
            raise ConfigError(f"chunk_tokens: expected an integer ≥ 1, got {chunk_tokens!r}.")
        checked = resolve(
            memory_budget=UNLIMITED if memory_budget is None else memory_budget,
            memory_view=memory_view,
            max_observation_tokens=max_observation_tokens or UNLIMITED,
        )
        self.policy = policy
        self.settings: dict[str, Any] = {
            "memory_budget": memory_budget,
            "chunk_tokens": chunk_tokens,
            "memory_view": memory_view,
            "max_observation_tokens": max_observation_tokens,
            "tokenizer": tokenizer,
        }
        self._named = None if isinstance(retriever, Retriever) else retriever
        self._retriever = _retriever(retriever)
        self._indexed: dict[int, str] = {}
        self._count_tokens = make_counter(tokenizer)
        self.memory = Memory(
            count_tokens=self._count_tokens,
            budget=memory_budget if isinstance(memory_budget, int) else None,
            max_item_tokens=checked.max_item_tokens,
            max_operations=checked.max_operations,
        )
        self.steps = 0
        self.tokens_read = 0
        self._rebuild()

    def observe(self, text: str, *, time: str | None = None) -> tuple[OperationResult, ...]:
        """Read a text and edit the memory; returns what became of each operation.

        An error of the policy leaves the memory as it was before the text.

        Args:
            text: a message, a page, a document.
            time: when it was said or written, shown to the policy.
        """
        before, counts = self.memory.snapshot(), (self.steps, self.tokens_read)
        results: list[OperationResult] = []
        try:
            for part in self._parts(text):
                results.extend(self._step(Chunk(f"c{self.steps}", part, time)))
        except BaseException:
            self.memory.restore(before)
            self.steps, self.tokens_read = counts
            self._rebuild()
            raise
        return tuple(results)

    def search(self, query: str, k: int = 5) -> tuple[Item, ...]:
        """At most `k` items that fit the query, best first."""
        found = (self.memory.get(item_id) for item_id in self._retriever.search(query, k))
        return tuple(item for item in found if item is not None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write memory and settings as JSON, aside and renamed; the policy is not written."""
        target = Path(path)
        record = {
            "schema": MEMORY_SCHEMA,
            "retriever": self._named,
            "settings": self.settings,
            "steps": self.steps,
            "tokens_read": self.tokens_read,
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
            made.memory.restore(record["memory"])
            made.steps, made.tokens_read = int(record["steps"]), int(record["tokens_read"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a saved memory: {error!r}.") from error
        made._rebuild()
        return made

    def _step(self, chunk: Chunk) -> tuple[OperationResult, ...]:
        tokens = self._count_tokens(chunk.text)
        self.tokens_read += tokens
        share = self.settings["memory_budget"]
        if isinstance(share, float):
            self.memory.budget = max(1, int(share * self.tokens_read))
        observation = self._view.render(chunk, tokens, self.steps, -1, self.memory, self._retriever)
        change = self.memory.apply(self.steps, parse(self._act(observation)))
        if change.removed or change.added:
            self._retriever.update(
                [(item.id, item.content) for item in change.removed],
                [(item.id, item.content) for item in change.added],
            )
            self._view.update(change)
            for item in change.removed:
                del self._indexed[item.id]
            self._indexed.update((item.id, item.content) for item in change.added)
        self.steps += 1
        return change.results

    def _act(self, observation: str) -> str:
        if not isinstance(self.policy, ManagerPolicy):
            return self.policy(observation)
        info = {
            "instructions": INSTRUCTIONS,
            "memory_tokens": self.memory.tokens,
            "memory_items": len(self.memory),
            "chunk_index": self.steps,
            "num_chunks": -1,
        }
        return self.policy.act(observation, info)

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

    def _rebuild(self) -> None:
        """Retriever and view of the memory as it is now, whatever it was before."""
        items = self.memory.items()
        held = {one.id: one.content for one in items}
        self._retriever.update(list(self._indexed.items()), list(held.items()))
        self._indexed = held
        self._view = ObservationView(
            self.settings["memory_view"],
            self.settings["max_observation_tokens"],
            _MAX_CHARS,
            self._count_tokens,
        )
        self._view.update(Change((), items, ()))


def _retriever(given: _Retrieval) -> Retriever:
    if isinstance(given, Retriever):
        return given
    named = {"name": given} if isinstance(given, str) else dict(given)
    return make_retriever(named, bm25="lucene")


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a saved memory: {error}.") from error
    if not isinstance(record, dict) or record.get("schema") != MEMORY_SCHEMA:
        raise DataError(f"{path}: expected a JSON object with schema {MEMORY_SCHEMA!r}.")
    return record

"""`memagent` and `mem1`: a memory of constant size that is written anew at every chunk.

MemAgent (arXiv 2507.02259) keeps one block of text that the model overwrites; MEM1 (arXiv
2506.15841) keeps an internal state that every turn replaces. Both are language models. Here the
model is any backend; without one the block is written by a local rule that picks whole sentences,
and the agents are named for that: `memagent_extractive`, `mem1_extractive`.

Neither sees the questions, unlike the published MemAgent, which is told what will be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from baselines.agents import Info
from baselines.managers.salience import hash_share, salience
from baselines.managers.scripted import Reactive, fitting, group, inserts, stored_lines
from finemem_env.backends import ChatRequest, Message, Sampling
from finemem_env.backends.registry import make_backend
from finemem_env.errors import BackendError, ConfigError, at_least
from finemem_env.prompts import View
from finemem_env.scoring import strip_reasoning
from finemem_env.text import normalise, split_sentences
from finemem_env.types import Op, Operation

_PROMPT = """\
You keep notes on a long text that you read section by section. The notes are all that remains: \
questions about the whole text will be answered from them. Write the notes anew so that they hold \
what the old notes and the new section say that may be asked about: names, numbers, dates, places, \
labelled examples, what changed (keep only the newest value). {form} Use at most {words} words. \
Reply with the notes and nothing else.

<notes>
{notes}
</notes>

<section>
{section}
</section>"""
_FORMS = {
    "block": "Write running text.",
    "state": "Write one self-contained statement per line.",
}


class Writer(Protocol):
    """Writes the memory anew from what it held and the chunk."""

    def write(self, notes: Sequence[str], section: str, limit: int) -> list[str]:
        """Lines of at most `limit` tokens together."""
        ...


class ExtractiveWriter:
    """Picks whole sentences, the most salient first, and keeps them in the order of the text."""

    def write(self, notes: Sequence[str], section: str, limit: int) -> list[str]:
        """The best sentences of the notes and the section that fit."""
        pool = {normalise(text): text for text in [*notes, *split_sentences(section)]}
        ranked = sorted(pool.values(), key=lambda text: (-salience(text), hash_share(text)))
        return _fitting(ranked, limit, list(pool.values()))


class ModelWriter:
    """Asks a language model for the new notes.

    Args:
        backend: {"name": "openai" | "transformers" | "vllm", "model": …}.
        form: "block" or "state", what the notes should look like.

    Raises:
        ConfigError: no backend, or one that does not fit.
    """

    def __init__(self, backend: Mapping[str, object] | None, form: str) -> None:
        if backend is None:
            raise ConfigError(
                "this agent is a language model and needs a backend, e.g. --agent-args "
                '\'{"backend": {"name": "openai", "model": "…", "base_url": "…"}}\'; '
                "memagent_extractive and mem1_extractive need none."
            )
        self._backend = make_backend(backend)
        self._form = _FORMS[form]

    def write(self, notes: Sequence[str], section: str, limit: int) -> list[str]:
        """The model's notes, cut to what fits.

        Raises:
            BackendError: there was no reply.
        """
        prompt = _PROMPT.format(
            form=self._form,
            words=max(20, int(limit * 0.7)),
            notes="\n".join(notes) or "(empty)",
            section=section,
        )
        sampling = Sampling(max_tokens=max(64, 2 * limit))
        chat = ChatRequest((Message("user", prompt),), sampling, prompt="memory-block/1")
        (reply,) = self._backend.complete([chat])
        if reply.failure is not None:
            raise BackendError(f"{self._backend.model}: {reply.failure} {reply.detail}".rstrip())
        said = strip_reasoning(reply.text).strip()
        if not said:  # it would empty the memory
            raise BackendError(f"{self._backend.model}: a reply that is empty or only reasoning.")
        lines = list(split_sentences(said))
        return _fitting(lines, limit, lines)


class _ConstantSize(Reactive):
    """What both agents share: size, and the text they wrote."""

    def __init__(self, writer: Writer, tokens: int) -> None:
        self._writer = writer
        self._tokens = at_least(1, "tokens of the memory", tokens)

    def reset(self, info: Info) -> None:
        """Everything is in the memory."""

    def _write(self, view: View, chunk: str) -> list[str]:
        limit = min(self._tokens, self.item_tokens)
        limit = limit if view.budget is None else min(limit, view.budget)
        return self._writer.write(stored_lines(view), chunk, limit)


class MemAgent(_ConstantSize):
    """One item of at most `block_tokens`, overwritten at every chunk by a language model.

    It is never full: what does not fit into the block (or the budget) is not written.

    Args:
        backend: the model, see `ModelWriter`.
        block_tokens: size of the block; the published agent has 1,024.
    """

    def __init__(
        self, backend: Mapping[str, object] | None = None, block_tokens: int = 1024
    ) -> None:
        super().__init__(ModelWriter(backend, "block"), block_tokens)

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """UPDATE the block (INSERT it the first time)."""
        block = "\n".join(self._write(view, chunk))
        if not block:
            return []
        if not view.items:
            return [Operation(Op.INSERT, content=block)]
        item_id, text = view.items[0]
        if normalise(text) == normalise(block):
            return []
        return [Operation(Op.UPDATE, content=block, item_id=item_id)]


class ExtractiveMemAgent(MemAgent):
    """`MemAgent` whose block is written by picking whole sentences; no model.

    Args:
        block_tokens: size of the block.
    """

    def __init__(self, block_tokens: int = 1024) -> None:
        _ConstantSize.__init__(self, ExtractiveWriter(), block_tokens)


class Mem1(_ConstantSize):
    """A state of at most `state_tokens`, one item per statement, replaced at every chunk.

    Its size never grows with the text. It is never full: what does not fit is not written, and
    statements that the new state does not repeat are deleted.

    Args:
        backend: the model, see `ModelWriter`.
        state_tokens: size of the state.
    """

    def __init__(
        self, backend: Mapping[str, object] | None = None, state_tokens: int = 512
    ) -> None:
        super().__init__(ModelWriter(backend, "state"), state_tokens)

    def operations(self, view: View, chunk: str) -> list[Operation]:
        """DELETE what is no longer in the state, INSERT what is new in it."""
        lines = self._write(view, chunk)
        keys = set(map(normalise, lines))
        gone = [
            Operation(Op.DELETE, item_id=item_id)
            for item_id, text in view.items
            if normalise(text) not in keys
        ]
        gone = gone[: self.max_operations // 2]
        fresh = [str(operation.content) for operation in inserts(lines, view)]
        return gone + inserts(group(fresh, self.max_operations - len(gone)))


class ExtractiveMem1(Mem1):
    """`Mem1` whose state is written by picking whole sentences; no model.

    Args:
        state_tokens: size of the state.
    """

    def __init__(self, state_tokens: int = 512) -> None:
        _ConstantSize.__init__(self, ExtractiveWriter(), state_tokens)


def _fitting(ranked: Sequence[str], limit: int, order: Sequence[str]) -> list[str]:
    """Those of `ranked`, best first, that fit into `limit` tokens, in the order of `order`."""
    kept = set(fitting(ranked, limit, joint=1))
    return [line for line in dict.fromkeys(order) if line in kept]

"""A stochastic memory policy without a language model: one logit for each kind of sentence.

It reads observations and writes actions as text, like any agent, and keeps the score function of
what it did, d log π / d logits, so that policy gradients need no autograd.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finemem_env.data.synthetic.kinds import fact_key, merge
from finemem_env.prompts import View, parse_observation
from finemem_env.text import split_sentences

Floats = npt.NDArray[np.float64]
KindOf = Callable[[int, str], str]
"""(chunk index, sentence) → the name of its kind."""

UPDATE = "update"  # the choice to UPDATE the item on the same subject, not to INSERT beside it
BROKEN = "broken"  # the choice to misspell an operation, which the environment then rejects
_JSON = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """One action, and the gradient of its log-probability by logit."""

    action: str
    score: Floats  # (len(names),)


class KindPolicy:
    """Stores each sentence of the chunk with the probability of its kind, one item a sentence.

    A kind without a logit is never stored. With the logit `UPDATE`, a sentence whose subject is in
    memory already replaces that item (a tally is carried on) or is inserted beside it. With the
    logit `BROKEN`, each operation may be written with a wrong name.

    Args:
        names: kinds, and UPDATE and BROKEN where wanted.
        logits: one number for each name; sigmoid(logit) is the probability.
    """

    def __init__(self, names: Sequence[str], logits: Sequence[float] | Floats) -> None:
        self.names = tuple(names)
        self.logits: Floats = np.array(logits, dtype=np.float64)
        self._index = {name: i for i, name in enumerate(self.names)}

    @property
    def probabilities(self) -> Floats:
        """sigmoid(logits), (len(names),)."""
        chances: Floats = 1.0 / (1.0 + np.exp(-self.logits))
        return chances

    def act(self, observation: str, kind_of: KindOf, rng: np.random.Generator) -> Decision:
        """Decide on every sentence of the chunk in `observation`."""
        view = parse_observation(observation)
        coins = _Coins(self._index, self.probabilities.tolist(), rng)
        keys = _subjects(view) if UPDATE in self._index else {}
        operations = []
        for sentence in split_sentences(view.chunk or ""):
            if coins.toss(kind_of(view.chunk_index, sentence)):
                operations.append(_store(sentence, keys, coins))
        return Decision(_JSON.encode(operations or [{"op": "SKIP"}]), np.array(coins.score))


class _Coins:
    """The coin tosses of one step, and the gradient of their log-probability."""

    def __init__(
        self, index: dict[str, int], probabilities: list[float], rng: np.random.Generator
    ) -> None:
        self._index, self._chances, self._rng = index, probabilities, rng
        self.score = [0.0] * len(index)

    def toss(self, name: str) -> bool:
        """True with the probability of `name`; always False for a name without a logit."""
        i = self._index.get(name)
        if i is None:
            return False
        chance = self._chances[i]
        yes = self._rng.random() < chance
        self.score[i] += yes - chance
        return yes


def _subjects(view: View) -> dict[tuple[str, str], tuple[int, str]]:
    """Newest visible item on each subject: (id, content)."""
    newest = {}
    for item_id, content in view.items:
        key = fact_key(content)
        if key is not None:
            newest[key] = (item_id, content)
    return newest


def _store(
    sentence: str, keys: dict[tuple[str, str], tuple[int, str]], coins: _Coins
) -> dict[str, str]:
    """The operation that stores one sentence."""
    key = fact_key(sentence) if keys else None
    old = keys.get(key) if key is not None else None
    operation = {"op": "INSERT", "content": sentence}
    if old is not None and coins.toss(UPDATE):
        operation = {"op": "UPDATE", "id": str(old[0]), "content": merge(old[1], sentence)}
    if coins.toss(BROKEN):
        operation["op"] = "STORE"
    return operation

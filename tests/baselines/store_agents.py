"""Memory systems with their own search, good and bad, importable from other processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finemem_env.text import split_sentences


class Notes:
    """Keeps every sentence, finds by shared words; writes down what it is told."""

    version = "7"
    made: list[Notes] = []

    def __init__(self, shout: bool = False) -> None:
        self.texts: dict[str, str] = {}
        self.shout = shout
        self.said: list[str] = []
        self.forgotten: list[str] = []
        self.asked: list[int] = []
        Notes.made.append(self)

    def add(self, text: str, time: str | None) -> None:
        self.said.append(f"add {time}")
        for sentence in split_sentences(text):
            self.texts[f"k{len(self.texts)}"] = sentence.upper() if self.shout else sentence

    def flush(self) -> None:
        self.said.append("flush")

    def items(self) -> list[tuple[str, str]]:
        return list(self.texts.items())

    def search(self, question: str, k: int) -> list[str]:
        self.asked.append(k)
        words = set(question.casefold().strip("?").split())
        ranked = sorted(
            self.texts, key=lambda key: -len(words & set(self.texts[key].casefold().split()))
        )
        return ranked[:k]

    def forget(self, keys: Iterable[str]) -> None:
        self.forgotten += keys

    def close(self) -> None:
        self.said.append("close")


class Backwards(Notes):
    """Finds what fits worst, so that no other retriever gives its scores."""

    def search(self, question: str, k: int) -> list[str]:
        return super().search(question, len(self.texts))[::-1][:k]


class Bad:
    """Goes wrong in one way, in one method."""

    def __init__(self, where: str, how: str) -> None:
        self.where, self.how = where, how

    def _go(self, where: str) -> None:
        if where != self.where:
            return
        if self.how == "outage":
            try:
                raise ConnectionResetError("peer")
            except OSError as error:
                raise RuntimeError("the client gave up") from error
        raise KeyError("lost")

    def add(self, text: str, time: str | None) -> None:
        self._go("add")

    def items(self) -> Sequence[object]:
        self._go("items")
        wrong: dict[str, list[object]] = {
            "numbers": [(1, "x")],
            "twice": [("a", "x"), ("a", "y")],
            "text": ["ab"],
        }
        return wrong.get(self.how, [("a", "Something was said.")])

    def search(self, question: str, k: int) -> list[str]:
        self._go("search")
        return ["a", "b"]

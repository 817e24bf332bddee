"""`seeing`: looks at the pictures and sounds of the source `media`, writes down what they show."""

from __future__ import annotations

from baselines.agents import Info
from baselines.managers.eyes import look
from baselines.managers.scripted import inserts, reply, skip
from finemem_env.media import raw_media
from finemem_env.prompts import parse_observation
from finemem_env.types import Medium, Op, Operation


class Seeing:
    """Reads the media by code, so that a reader that sees nothing can answer.

    Every fact that it sees is an item: the caption up to its first colon or full stop, and what is
    seen. It reads nothing else, and forgets nothing: when the memory is full, the rest is refused.

    Args:
        keep: keep every medium by its name instead, for a reader that sees; nothing is written.
    """

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep

    def reset(self, info: Info) -> None:
        """Nothing to forget."""

    def act(self, observation: str, info: Info) -> str:
        """INSERT what is seen; SKIP where there is nothing."""
        view, media = parse_observation(observation), raw_media(info)
        if self._keep:
            return reply([Operation(Op.INSERT, media=(item.name,)) for item in media], view.lines)
        facts = inserts((fact for medium in media for fact in _facts(medium)), view)
        return reply(facts, view.lines) if facts else skip(view.lines)


def _facts(medium: Medium) -> list[str]:
    about = medium.text.split(":")[0].strip().rstrip(".") or f"The {medium.kind} {medium.name}"
    return [f"{about}: {seen}." for seen in look(medium)]

"""Difficulty knobs: their defaults and the values they may take.

Every generator understands:

- `facts_per_chunk` (4; 5 for LRU): sentences of the asked kinds in a chunk.
- `asked_fraction` (.36; .4 for LRU): their share of a chunk's sentences; the rest is never
  asked about.
- `distractors_per_chunk` (3): how many of the rest are hearsay, facts about visitors and questions
  wondered aloud, all about what is asked (TTL: unverified lines). What remains is small talk.
- `questions` (0): final questions; 0 is two a chunk (LRU: 1.5), as many as the text allows.
- `chunk_questions` (6): size of the pool of questions about each chunk.
- `language` ("en"): "en", "zh", or "mixed", which picks one for each fact and sentence.
- `misaligned_chunk_questions` (False): chunk questions ask about small talk, which no final
  question does, so that the chunk reward misleads.

`chunk_tokens` scales all sentence counts together and keeps their shares; `num_chunks` is T (10).
"""

from __future__ import annotations

from collections.abc import Mapping

from finemem_env.errors import ConfigError, nearest

COMMON: dict[str, object] = {
    "facts_per_chunk": 4,
    "asked_fraction": 0.36,
    "distractors_per_chunk": 3,
    "questions": 0,
    "chunk_questions": 6,
    "language": "en",
    "misaligned_chunk_questions": False,
}
RANGES: dict[str, tuple[float, float] | tuple[str, ...]] = {
    "facts_per_chunk": (1, 1000),
    "asked_fraction": (0.02, 1.0),
    "distractors_per_chunk": (0, 1000),
    "questions": (0, 100_000),
    "chunk_questions": (0, 1000),
    "language": ("en", "zh", "mixed"),
    "delay": (0.0, 1.0),
    "midway": (0.0, 1.0),
    "labels": (0, 1000),
    "aggregates": (0.0, 1.0),
    "repeats": (2, 9),
    "changed": (0.0, 1.0),
    "overwrites": (0, 20),
    "captioned": (0.0, 1.0),
    "media_per_chunk": (1, 32),
    "sentences_per_chunk": (1, 1000),
    "kinds": ("all", "sign", "chart", "dial"),
}


def check_ranges(name: str, knobs: Mapping[str, object]) -> None:
    """Refuse values outside `RANGES`; types were checked before.

    Raises:
        ConfigError: the knob, what it may be, and what came.
    """
    for knob, value in knobs.items():
        allowed = RANGES.get(knob)
        if allowed is None:
            continue
        if isinstance(value, str):
            if value not in allowed:
                options = [str(option) for option in allowed]
                raise ConfigError(
                    nearest(f"value of difficulty[{knob!r}] of {name!r}", value, options)
                )
        elif isinstance(value, int | float):
            low, high = (float(bound) for bound in allowed)
            if not low <= value <= high:
                raise ConfigError(
                    f"difficulty[{knob!r}] of {name!r}: expected a number from {low:g} to "
                    f"{high:g}, got {value!r}."
                )

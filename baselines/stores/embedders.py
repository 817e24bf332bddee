"""Embeddings for memory systems: the same ones for all of them, local or of an endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from baselines.stores.clients import Client, Server, read_server
from finemem_env.errors import ConfigError, nearest
from finemem_env.retrieval import encode
from finemem_env.text import TextCache

Matrix = NDArray[np.float64]
_BATCH = 64  # texts in one call


class Embedder:
    """Unit vectors of texts by a model in this process.

    Args:
        model: "minilm-l6", or a sentence-transformers folder.
    """

    def __init__(self, model: object) -> None:
        self._model = model
        encode(model, ())

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Vectors of shape (texts, dimensions), each of length 1."""
        rows = self._rows(list(texts))
        return np.stack(rows) if rows else np.zeros((0, 0))

    @cached_property
    def dimensions(self) -> int:
        """Of every vector."""
        return int(self.embed(["dimensions"]).shape[1])

    def watched(self) -> AbstractContextManager[None]:
        """Around calls of a library that uses it, see `Client.watched`."""
        return nullcontext()

    def close(self) -> None:
        """Close connections, where there are any."""

    def _rows(self, texts: list[str]) -> list[Matrix]:
        return [row.astype(np.float64) for row in encode(self._model, texts)]


class EndpointEmbedder(Embedder):
    """Unit vectors by an endpoint, each text embedded once.

    Args:
        server: which.
    """

    def __init__(self, server: Server) -> None:
        self._client = Client(server)
        self._vectors: TextCache[Matrix] = TextCache(lambda text: self._ask([text])[0])

    def watched(self) -> AbstractContextManager[None]:
        """See `Client.watched`."""
        return self._client.watched()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _rows(self, texts: list[str]) -> list[Matrix]:
        new = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            for text, vector in zip(batch, self._ask(batch), strict=True):
                self._vectors.store(text, vector)
        return [self._vectors[text] for text in texts]

    def _ask(self, texts: Sequence[str]) -> list[Matrix]:
        reply = self._client.openai.embeddings.create(
            model=self._client.server.model, input=list(texts), encoding_format="float"
        )
        rows = [np.asarray(row.embedding) for row in sorted(reply.data, key=lambda row: row.index)]
        return [row / (float(np.linalg.norm(row)) or 1.0) for row in rows]


def make_embedder(config: Mapping[str, object] | None, where: str) -> Embedder:
    """The embedder that {"name": "local", "model": …} or {"name": "openai", …} describes.

    Args:
        config: the options.
        where: starts every error.

    Raises:
        ConfigError: none, an unknown name, an option that does not fit, a model that is not there.
    """
    options = dict(config or {})
    name = options.pop("name", None)
    if name == "openai":
        return EndpointEmbedder(read_server(config, f"{where}, embeddings"))
    if name == "local":
        model = options.pop("model", None)
        if options:
            raise ConfigError(
                nearest(f"option of {where}, embeddings", next(iter(options)), ("model",))
            )
        return Embedder(model)
    if name is None:
        raise ConfigError(
            f'{where}: embeddings expects {{"name": "local", "model": …}} or {{"name": "openai", '
            f'"model": …, "base_url": …}}, got {config!r}.'
        )
    raise ConfigError(nearest("embeddings", name, ("local", "openai")))

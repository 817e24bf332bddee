"""A server that speaks what training needs of vLLM, with a transformers model behind it.

`python -m tests.agents.engine_server .1` serves the packaged model, at .1 s a reply.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agents.assets import tiny_folder
from finemem_env.backends import Sampling
from finemem_env.backends.hf import HFSampler, load_model, load_tokenizer
from finemem_env.backends.sampler import SampleOptions
from tests.backends.servers import Response, Seen, ServerBase


def _json(value: object) -> Response:
    return Response(json.dumps(value).encode())


class EngineServer(ServerBase):
    """A reply depends on its prompt, its seed and the weights alone.

    `dead` resets every connection; `restart` brings the first weights back; `raw` reports
    log-probabilities of temperature 1 whatever it draws at; `delay` is the seconds that every reply
    takes.
    """

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        self.folder, self.delay, self.dead, self.raw = folder, delay, False, False
        self._one = threading.Lock()
        self.restart()
        super().__init__()

    def restart(self) -> None:
        name = str(self.folder)
        model = load_model(name, device="cpu", dtype="float32")
        self.sampler = HFSampler(model, load_tokenizer(name))

    def paths(self) -> list[str]:
        """What was asked for, in order, with "draw" for replies and "probe" for scores."""
        found = []
        for one in self.seen:
            if one.path == "/v1/completions":
                found.append("probe" if "prompt_logprobs" in one.json else "draw")
            else:
                found.append(one.path)
        return found

    def respond(self, seen: Seen) -> Response:
        if self.dead:
            return Response(b"", reset=True)
        if seen.path == "/v1/models":
            return _json({"object": "list", "data": [{"id": "tiny", "max_model_len": 1024}]})
        if seen.path == "/collective_rpc":
            with self._one:
                self.sampler.update(Path(seen.json["kwargs"]["weights_path"]))
        if seen.path != "/v1/completions":
            return _json({"success": True})
        time.sleep(self.delay)
        with self._one:
            choice = self._score(seen.json) if "prompt_logprobs" in seen.json else self._draw(seen)
        choice |= {"index": 0, "text": ""}
        return _json({"id": "c", "object": "text_completion", "choices": [choice]})

    def _score(self, body: Any) -> dict[str, Any]:  # noqa: ANN401
        (row,) = self.sampler.logprobs([body["prompt"]])
        pairs = zip(body["prompt"][1:], row, strict=True)
        columns = [None, *({str(token): {"logprob": value}} for token, value in pairs)]
        empty: dict[str, Any] = {"token_logprobs": []}
        return {
            "prompt_logprobs": columns,
            "logprobs": empty,
            "token_ids": [],
            "finish_reason": "stop",
        }

    def _draw(self, seen: Seen) -> dict[str, Any]:
        body = seen.json
        sampling = Sampling(body["temperature"], max_tokens=body["max_tokens"], seed=body["seed"])
        (one,) = self.sampler.sample(
            [body["prompt"]], sampling, SampleOptions(body["stop_token_ids"])
        )
        logprobs = list(one.logprobs)
        if self.raw:
            (whole,) = self.sampler.logprobs([[*body["prompt"], *one.token_ids]])
            logprobs = whole[len(body["prompt"]) - 1 :]
        return {
            "token_ids": one.token_ids,
            "logprobs": {"token_logprobs": logprobs},
            "finish_reason": "stop" if one.finished else "length",
        }


if __name__ == "__main__":
    with EngineServer(tiny_folder(), delay=float(sys.argv[1])) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()

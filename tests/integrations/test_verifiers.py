"""verifiers for real: `vf-eval` against a server on loopback (tox run -e verifiers)."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

pytest.importorskip("verifiers")

pytest.importorskip("finemem_v1", reason="pip install ./examples/finemem_v1")

import verifiers.v1 as vf
from verifiers.v1.trace import WireTrace
from verifiers.v1.utils.trace_store import read_episodes

from finemem_env.integrations.prime_rl import step_advantages
from tests.backends.servers import Response, StubServer
from tests.documents import PAGES, blocks

PAGE = PAGES["docs/integrations.md"]
ROOT = Path(__file__).resolve().parents[2]
ARGS: dict[str, Any] = {"num_chunks": 3}


def note(request: Any) -> str:  # noqa: ANN401
    """A reply that depends on the chunk alone."""
    chunk = request["messages"][-1]["content"].partition("<chunk")[2].partition("</chunk>")[0]
    return json.dumps([{"op": "INSERT", "content": chunk.partition(">\n")[2][:200]}])


def vf_eval(folder: Path, server: StubServer) -> list[vf.Trace]:
    """The page's command for two seeds, two rollouts each: the four traces that are written."""
    (text,) = (one.text for one in blocks(PAGE) if one.text.startswith("vf-eval finemem-v1"))
    _, *command = shlex.split(text.replace("\\\n", " "))
    ours = {"-n": "2", "-r": "2", "-m": "stub", "--env.taskset.env-args": json.dumps(ARGS)}
    ours |= {"--client.base-url": server.url, "--client.api-key-var": "STUB_KEY"}
    for option, value in ours.items():
        command[command.index(option) + 1] = value
    command += ["--no-rich", "-o", str(folder), "--env.taskset.first-seed", "3"]
    command.insert(0, str(Path(sys.executable).with_name("vf-eval")))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STUB_KEY": "unused"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (file,) = folder.rglob("traces.jsonl")
    return [one for episode in read_episodes(file.parent, WireTrace) for one in episode.traces]


def played_here(seed: int) -> tuple[list[str], dict[str, Any]]:
    env = gym.make("FineMem-AR-v0", **ARGS)
    text, info = env.reset(seed=seed)
    texts, done = [text], False
    while not done:
        text, _, done, _, info = env.step(note({"messages": [{"content": text}]}))
        texts.append(text)
    return texts[:-1], info


def test_vf_eval_asks_for_every_chunk_afresh_and_keeps_step_rewards(tmp_path: Path) -> None:
    with StubServer(note) as server:
        traces = vf_eval(tmp_path, server)
        asked = [seen.json["messages"] for seen in server.seen if seen.path.endswith("completions")]
    assert {len(messages) for messages in asked} == {2}
    seeds = sorted(trace.task.data.model_extra["seed"] for trace in traces)
    assert seeds == [3, 3, 4, 4]
    users = sorted(messages[1]["content"] for messages in asked)
    assert users == sorted(text for seed in seeds for text in played_here(seed)[0])
    for trace in traces:
        _, info = played_here(trace.task.data.model_extra["seed"])
        assert trace.ok
        assert len(trace.branches) == 3
        assert trace.info["turn_rewards"] == pytest.approx(info["step_rewards"])
        assert trace.reward == pytest.approx(sum(info["step_rewards"]))
        assert trace.metrics["final_score"] == pytest.approx(info["score"])
        assert not {"answers", "chunk_answers"} & set(trace.info["finemem"])
    _credit_fits_the_trace(traces[0])


def _credit_fits_the_trace(trace: vf.Trace) -> None:
    """With the tokens that a training client would have recorded."""
    other = trace.model_copy(deep=True)
    other.info["turn_rewards"] = [one + 1.0 for one in trace.info["turn_rewards"]]
    for one in (trace, other):
        for t, node in enumerate(node for node in one.nodes if node.sampled):
            node.token_ids, node.mask = list(range(5 + t)), [False] * 3 + [True] * (2 + t)
    credit = step_advantages([trace, other], credit="step", scale=False)
    assert credit[0] == pytest.approx([-0.5] * 9)
    assert credit[1] == pytest.approx([0.5] * 9)


def test_a_request_that_fails_is_an_error_and_no_score(tmp_path: Path) -> None:
    asked = 0

    def once(request: Any) -> str | Response:  # noqa: ANN401
        nonlocal asked
        asked += 1
        return note(request) if asked == 1 else Response(b'{"error": {"message": "boom"}}', 500)

    with StubServer(once) as server:
        traces = vf_eval(tmp_path, server)
    assert not any(trace.ok for trace in traces)
    assert all("turn_rewards" not in trace.info for trace in traces)

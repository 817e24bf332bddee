"""An agent of your own in the benchmark, beside the others and under the same budget.

PYTHONPATH=examples python -m baselines.benchmark --agent own_agent:Names --output-dir runs/names
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from baselines.runs.run import AgentChoice, RunConfig, run
from baselines.tables.summary import render_table
from finemem_env.prompts import parse_observation
from finemem_env.text import approx_tokens, split_sentences


class Names:
    """Keeps sentences with a name or number; deletes the oldest items when there is no room."""

    def __init__(self, least=1):
        self.least = least

    def reset(self, info):
        """A new episode: nothing to forget."""

    def act(self, observation, info):
        """Operations as text. `info` has limits, and what became of the last operations."""
        view = parse_observation(observation)
        kept = [
            sentence
            for sentence in split_sentences(view.chunk or "")
            if self.marked(sentence) >= self.least
        ]
        operations = [{"op": "INSERT", "content": sentence} for sentence in kept]
        if view.budget is not None:
            free = view.budget - view.memory_tokens - sum(map(approx_tokens, kept))
            for item_id, content in view.items:
                if free >= 0:
                    break
                operations.insert(0, {"op": "DELETE", "id": item_id})
                free += approx_tokens(content)
        return json.dumps(operations or [{"op": "SKIP"}])

    def marked(self, sentence):
        """Words beyond the first that are capitalised or hold a digit."""
        words = sentence.split()[1:]
        return sum(word[:1].isupper() or any(map(str.isdigit, word)) for word in words)


if __name__ == "__main__":
    agents = [AgentChoice(name) for name in ("skip", "fifo", "own_agent:Names", "oracle")]
    with TemporaryDirectory() as folder:
        config = RunConfig("FineMem-AR-v0", {"split": "test"}, tuple(agents), episodes=3)
        print(render_table(run(config, Path(folder) / "run")))

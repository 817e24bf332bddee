"""A memory in a chat: what the user says is managed, what is asked is looked up, all is saved.

python examples/chat_loop.py            talk; an empty line ends
python examples/chat_loop.py notes.json keeps the memory in that file
"""

import sys
from pathlib import Path

from baselines.agents import make_agent
from finemem_env import MemoryManager


def reply(memory, said):
    """The assistant: here it only recalls. Put `context` into the prompt of your model."""
    context = [item.content for item in memory.search(said, k=3)]
    if said.endswith("?"):
        return "I remember: " + (" ".join(context) or "nothing.")
    results = memory.observe(said)
    return "Noted." if any(op.accepted and op.name != "SKIP" for op in results) else "I see."


def main(lines, file=None):
    """Answer every line until one is empty."""
    # Any agent manages: this rule, a prompted model, a run of agents.grpo (agents.policy:Manager).
    policy = make_agent("salience")
    if file is not None and file.exists():
        memory = MemoryManager.load(file, policy)
    else:
        memory = MemoryManager(policy, memory_budget=400)
    for said in map(str.strip, lines):
        if not said:
            break
        print(reply(memory, said))
    if file is not None:
        memory.save(file)
    print(f"{len(memory.memory)} items, {memory.memory.tokens} tokens")


if __name__ == "__main__":
    main(sys.stdin, Path(sys.argv[1]) if sys.argv[1:] else None)

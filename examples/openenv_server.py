"""The environment behind OpenEnv: a server, and a client that plays it (extra `openenv`).

python examples/openenv_server.py             serves on port 8000
python examples/openenv_server.py play URL    plays an episode of such a server
A client resets with seed=…, steps with the text of an action, and finds step rewards in `metadata`.
"""

import json
import sys

from finemem_env.integrations.openenv import Edit, MemoryClient, make_app


def first_words(messages):
    """Stands for a model: `messages` is the whole request of a step, without history."""
    chunk = messages[-1]["content"].partition("<chunk")[2].partition(">\n")[2]
    return json.dumps([{"op": "INSERT", "content": chunk.partition("</chunk>")[0][:400]}])


def play(url):
    with MemoryClient(base_url=url).sync() as client:
        result = client.reset(seed=1)
        while not result.done:
            result = client.step(Edit(text=first_words(result.observation.messages())))
    print("score", round(result.metadata["score"], 3))
    print("step rewards", [round(reward, 3) for reward in result.metadata["step_rewards"]])


if __name__ == "__main__":
    if sys.argv[1:2] == ["play"]:
        play(sys.argv[2])
    else:
        import uvicorn

        uvicorn.run(make_app("FineMem-AR-v0"), port=8000)

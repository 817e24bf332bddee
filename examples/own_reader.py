"""A reader of your own: any callable model behind one method, here without one.

It says which sentence it used, so that credit reaches the step that wrote it.
"""

import gymnasium as gym

import finemem_env
from baselines.agents import make_agent
from finemem_env import Answer
from finemem_env.text import split_sentences, words


class Overlap:
    """Answers with the sentence that shares most words with the question."""

    version = "overlap/1"  # stands in every trace

    def __init__(self, shortest=1):
        self.shortest = shortest

    def answer(self, requests):
        """One answer per request, in order. `Answer("", failed=True)`: the model was not there."""
        return [self.one(request) for request in requests]

    def one(self, request):
        wanted = set(words(request.question))
        best, answer = self.shortest, Answer("")
        for number, item in enumerate(request.items):
            for place, sentence in enumerate(split_sentences(item)):
                shared = len(wanted & set(words(sentence)))
                if shared > best:
                    best, answer = shared, Answer(sentence, used=((number, place),))
        return answer


finemem_env.register("reader", "overlap", Overlap)
for reader in ("overlap", {"name": "overlap", "shortest": 3}, "local"):
    env = gym.make("FineMem-AR-v0", reader=reader, memory_budget="unlimited", num_chunks=4)
    agent = make_agent("store_sentences")
    observation, info = env.reset(seed=0)
    agent.reset(info)
    over = False
    while not over:
        observation, _, over, _, info = env.step(agent.act(observation, info))
    credit = sum(info["evidence_credit"])
    print(
        f"{info['versions']['reader']:12} score {info['score']:.2f}, credit {credit:.2f}  {reader}"
    )

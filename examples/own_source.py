"""A source of your own: episodes from your records, here a list of who moved where and when.

A question is asked after the chunk that answers it and, with another gold, at the end.
"""

import gymnasium as gym

import finemem_env
from baselines.agents import make_agent
from finemem_env import Chunk, Episode, Evidence, Question
from finemem_env.data.source import BaseSource

PEOPLE = ("Mara", "Jon", "Ines", "Tariq")
TOWNS = ("Osta", "Bram", "Lidd", "Verne", "Kolm")


class Moves(BaseSource):
    """Everybody moves now and then; the last town counts. `rng` is the only randomness."""

    competency = "CR"

    def build(self, rng, index):
        """Episode number `index`."""
        home, chunks, told = {}, [], {}
        for t in range(self.config.num_chunks or 6):
            lines = [f"Day {t + 1}. The post came at noon."]
            for person in rng.choice(PEOPLE, size=2, replace=False).tolist():
                home[person] = str(rng.choice([town for town in TOWNS if town != home.get(person)]))
                lines.append(f"{person} moved to {home[person]}.")
                told[person] = Evidence(t, lines[-1])
            question = self.ask(f"c{t}", person, home[person], told[person])
            chunks.append(Chunk(f"c{t}", " ".join(lines), f"day {t + 1}", (question,)))
        finals = [self.ask(f"q{i}", name, home[name], told[name]) for i, name in enumerate(home)]
        return Episode(self.episode_id(index), "CR", self.name, tuple(chunks), tuple(finals))

    def ask(self, name, person, town, evidence):
        question = f"Where does {person} live now?"
        return Question(name, question, (town,), "substring_exact_match", evidence=(evidence,))


finemem_env.register("source", "moves", Moves)
for name in ("skip", "store_chunks", "salience", "oracle"):
    env = gym.make("FineMem-CR-v0", source="moves", num_chunks=8)
    agent = make_agent(name)
    if hasattr(agent, "attach"):
        agent.attach(env)
    observation, info = env.reset(seed=0)
    agent.reset(info)
    over = False
    while not over:
        observation, _, over, _, info = env.step(agent.act(observation, info))
    print(f"{name:13} {info['episode_id']}  score {info['score']:.2f}")

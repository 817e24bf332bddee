"""The environment behind OpenEnv: a server that any OpenEnv client plays (pip install openenv).

python examples/openenv_server.py             serves on port 8000
A client resets with seed=…, steps with the text of an action, and finds step rewards in `metadata`.
"""

import gymnasium as gym
from openenv.core.env_server import Action, Environment, Observation, State, create_app

from finemem_env.session import public


class Edit(Action):
    """The agent's reply, as text."""

    text: str


class Seen(Observation):
    """What the agent reads: the instructions, the chunk and its memory."""

    text: str = ""


class MemoryServer(Environment[Edit, Seen, State]):
    """One episode at a time for every session; the keywords are those of `gym.make`."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, env_id="FineMem-AR-v0", **keywords):
        super().__init__()
        self.env = gym.make(env_id, include_instructions=True, **keywords)
        self.info = {}

    def reset(self, seed=None, episode_id=None, **_):
        """`episode_id` is the client's label for a session, not an episode of the source."""
        text, self.info = self.env.reset(seed=seed)
        return Seen(text=text, metadata=self.told())

    def step(self, action, timeout_s=None, **_):
        text, reward, done, _, self.info = self.env.step(action.text)
        return Seen(text=text, reward=float(reward), done=done, metadata=self.told(done))

    def told(self, done=False):
        """What an agent may know, and at the end what a learner needs."""
        kept = ("limits", "memory_tokens", "num_chunks", "episode_id")
        told = {key: public(self.info)[key] for key in kept}
        learner = ("score", "step_rewards", "step_reward_valid") if done else ()
        return told | {key: self.info[key] for key in learner}

    @property
    def state(self):
        return State(episode_id=self.info.get("episode_id"), step_count=self.info["chunk_index"])


app = create_app(MemoryServer, Edit, Seen, env_name="finemem")
if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=8000)

"""Run outside the checkout, in an environment that has the wheel and its core dependencies only."""

import importlib.util
import sys


def main() -> None:
    """Play one episode of each id and check what was imported."""
    import gymnasium as gym

    import finemem_env
    from finemem_env.locate import ENVIRONMENTS

    assert "site-packages" in finemem_env.__file__, finemem_env.__file__
    for name in ("torch", "transformers", "datasets", "tqdm"):
        assert importlib.util.find_spec(name) is None, f"{name} is installed"
    for env_id in ENVIRONMENTS:
        env = gym.make(env_id)
        env.reset(seed=0)
        over = False
        while not over:
            _, _, over, _, info = env.step('[{"op": "SKIP"}]')
        assert info["chunk_index"] == info["num_chunks"]
    import envs.accurate_retrieval
    from finemem_env.view import Collection, page

    assert "<svg" not in page("empty", Collection((), 0))  # made of files that the wheel holds
    assert issubclass(envs.accurate_retrieval.AccurateRetrievalEnv, finemem_env.MemoryEnv)
    sys.stdout.write(f"wheel works: {len(ENVIRONMENTS)} environments, core dependencies only\n")


if __name__ == "__main__":
    main()

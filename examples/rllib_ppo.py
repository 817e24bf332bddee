"""RLlib's PPO on the discrete form of the environment, with its own module for action masks.

python examples/rllib_ppo.py [ITERATIONS] (extra rllib; written for ray 2.60.0)
"""

import sys

import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune import register_env

from finemem_env.integrations.rllib import log_score, make_env

register_env("finemem", make_env)
ray.init(num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
task = {"env_id": "FineMem-CR-v0", "env_args": {"num_chunks": 4}}
config = (
    PPOConfig()
    .environment("finemem", env_config=task)
    .env_runners(num_env_runners=0, num_envs_per_env_runner=4, rollout_fragment_length=256)
    .training(
        train_batch_size_per_learner=1024, minibatch_size=256, num_epochs=4, lr=1e-3, gamma=1.0
    )
    .learners(num_learners=0)
    .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule))
    .callbacks(on_episode_end=log_score)
    .debugging(seed=0)
)
algorithm = config.build_algo()
for _ in range(int((sys.argv[1:] or ["40"])[0])):
    result = algorithm.train()
    stats, loss = result["env_runners"], result["learners"]["default_policy"]["total_loss"]
    print(
        f"iteration {result['training_iteration']}: {int(stats['num_episodes_lifetime'])} episodes,"
        f" score {stats['score']:.3f}, return {stats['episode_return_mean']:.3f}, loss {loss:.3f}"
    )
algorithm.stop()
ray.shutdown()

"""What NeMo Gym starts as `resources_servers/finemem`: copy this folder there."""

from finemem_env.integrations.nemo_gym import MemoryServer

if __name__ == "__main__":
    MemoryServer.run_webserver()

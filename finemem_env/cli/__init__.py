"""Subcommands of `python -m finemem_env`, one module each with a `main(argv) -> int`."""

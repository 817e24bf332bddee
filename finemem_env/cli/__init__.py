"""Subcommands of `python -m finemem_env`, each a module with a `main(arguments) -> int`.

What every program of this project has in common is here too: `frame` (parser, errors, Ctrl-C),
`options`, `progress` and `tables`.
"""

"""Metrics of the published benchmarks, rule by rule, oddities included.

`scoring` is the only caller: it dispatches on the name. A name is "<dialect>/<rule>", where the
dialect is "mem-alpha" (arXiv 2509.25911) or "mab" (MemoryAgentBench, arXiv 2507.05257). Numbers of
different dialects must not be mixed: one system gets different scores from each.
"""

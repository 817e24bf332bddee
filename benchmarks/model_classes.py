"""Every causal LM class of transformers, tried: `python -m benchmarks.model_classes`.

Each class that `AutoModelForCausalLM` knows is built from a small config and is then either right
(sampling, scoring and gradient are those of plain forward passes, and replies those of `generate`),
or refused by name, or could not be built. Anything else is a fault, and the exit code is 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from finemem_env.cli.frame import command, program
from finemem_env.cli.progress import Progress, begin
from finemem_env.errors import ConfigError, nearest
from finemem_env.extras import needs


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Try the classes and print the lists."""
    parser = program("benchmarks.model_classes", __doc__)
    add = parser.add_argument
    add("--type", action="append", help="a model type, may be repeated (default: all)")
    add("--why", action="store_true", help="with the reason of every refusal")
    options = parser.parse_args(arguments)
    with needs("models", "train"):
        import transformers

        from benchmarks.model_verdicts import WRONG, judge_all, listing, model_types
    known = model_types()
    for kind in options.type or ():
        if kind not in known:
            raise ConfigError(nearest("model type", kind, known))
    kinds = options.type or known
    begin(f"{len(kinds)} model classes of transformers {transformers.__version__}")
    verdicts = []
    with Progress(len(kinds), "class") as advance:
        for verdict in judge_all(kinds):
            verdicts.append(verdict)
            advance(verdict.name)
    print(listing(verdicts))
    for verdict in verdicts:
        if verdict.why and (options.why or verdict.kind == WRONG):
            print(f"\n- {verdict.name}: {verdict.kind}: {verdict.why}")
    return int(any(verdict.kind == WRONG for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())

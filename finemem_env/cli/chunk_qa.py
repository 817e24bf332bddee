"""`python -m finemem_env chunk-qa EPISODES --out FILE`: write chunk questions into an episode file.

Generator and verifier are "local" (no model: masked names, numbers and rare phrases), NAME:MODEL
(such as openai:gpt-4o-mini) or a JSON object with the options of a model reader, for instance
'{"name": "openai", "model": "Qwen/Qwen3-32B", "base_url": "http://127.0.0.1:8000/v1"}'.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from finemem_env.backends.registry import BACKENDS, make_backend
from finemem_env.chunk_qa.candidates import Generator
from finemem_env.chunk_qa.cloze import ClozeGenerator
from finemem_env.chunk_qa.model import ModelGenerator
from finemem_env.chunk_qa.pipeline import Report, Yield, write_chunk_questions
from finemem_env.chunk_qa.quality import Quality, measure
from finemem_env.data.schema import read_episodes
from finemem_env.errors import ConfigError, nearest
from finemem_env.readers import make_reader
from finemem_env.readers.models import split_options, with_cache

__all__ = ["main", "make_generator", "parse_model"]

_TEMPERATURE = 0.7  # of a generator that sets none


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file, print the yield of every source and the quality of the questions.

    Raises:
        ConfigError: a bad option, or a file that is there already.
        DataError: the episode file is missing or malformed.
        BackendError: calls failed; running the same command again goes on.
    """
    given = _parser().parse_args(argv)
    out = Path(given.out)
    if out.exists() and not given.force:
        raise ConfigError(f"--out: {out} is there already; --force replaces it.")
    if given.keep < 1:
        raise ConfigError(f"--keep: expected at least 1, got {given.keep}.")
    verifier = make_reader(parse_model("--verifier", given.verifier))
    report = write_chunk_questions(
        Path(given.episodes),
        out,
        make_generator(parse_model("--generator", given.generator), given.ask),
        verifier,
        keep=given.keep,
        replace=given.replace,
        each=_show,
    )
    _print_report(report)
    if given.quality:
        _print_quality(measure(read_episodes(out), verifier, given.quality))
    print(f"{out}\nsha256 {report.content_hash}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m finemem_env chunk-qa",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("episodes", help="episode file (see the command build)")
    parser.add_argument("--out", required=True, help="file to write: .jsonl or .jsonl.gz")
    parser.add_argument("--generator", default="local", help="who writes (default: local)")
    parser.add_argument("--verifier", default="local", help="who must answer (default: local)")
    parser.add_argument("--keep", type=int, default=5, help="questions per chunk (default: 5)")
    parser.add_argument("--ask", type=int, default=10, help="candidates per chunk (default: 10)")
    parser.add_argument(
        "--replace", action="store_true", help="also for chunks that have questions already"
    )
    parser.add_argument(
        "--quality", type=int, default=1000, help="questions to measure (default: 1000; 0: none)"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    return parser


def parse_model(option: str, text: str) -> dict[str, object]:
    """A model as given on the command line: a name, NAME:MODEL, or a JSON object.

    Raises:
        ConfigError: neither of these.
    """
    if not text.startswith("{"):
        name, _, model = text.partition(":")
        return {"name": name, "model": model} if model else {"name": name}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{option}: expected a JSON object, got {text!r}: {error}.") from error
    return dict(value)


def make_generator(config: Mapping[str, object], count: int) -> Generator:
    """The generator that `config` names, asked for `count` candidates per chunk.

    Raises:
        ConfigError: an unknown name or option, or a model that cannot be used.
    """
    if count < 1:
        raise ConfigError(f"--ask: expected at least 1, got {count}.")
    if config == {"name": "local"}:
        return ClozeGenerator(count)
    if config.get("name") not in BACKENDS:
        raise ConfigError(nearest("generator", config.get("name"), ("local", *BACKENDS)))
    options, rest = split_options(config)
    backend = with_cache(make_backend(rest), options.cache)
    temperature = options.temperature if "temperature" in config else _TEMPERATURE
    return ModelGenerator(backend, count=count, temperature=temperature, seed=options.seed)


def _show(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done}/{total} chunks" + ("\n" if done == total else ""))
    sys.stderr.flush()


def _print_report(report: Report) -> None:
    row = "{:24}{:>8}{:>11}{:>8}{:>10}{:>8}{:>11}"
    print(row.format("source", "chunks", "generated", "sound", "verified", "kept", "per chunk"))
    rows = dict(report.yields)
    if len(rows) > 1:
        rows["all"] = sum(rows.values(), Yield())
    for name, one in rows.items():
        each = one.kept / one.chunks if one.chunks else 0.0
        numbers = (one.chunks, one.generated, one.sound, one.verified, one.kept)
        print(row.format(name, *numbers, f"{each:.2f}"))


def _print_quality(quality: Quality) -> None:
    print(
        f"answered from the chunk {quality.from_chunk:.3f}, from the rest of the episode "
        f"{quality.from_the_rest:.3f}, from nothing {quality.from_nothing:.3f} "
        f"({quality.questions} questions, {quality.failed} failed)"
    )

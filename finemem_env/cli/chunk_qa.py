"""`python -m finemem_env chunk-qa EPISODES --out FILE`: write chunk questions into an episode file.

Generator and verifier are "local" (no model: masked names, numbers and rare phrases), NAME:MODEL
(such as openai:gpt-4o-mini) or a JSON object with the options of a model reader, for instance
'{"name": "openai", "model": "Qwen/Qwen3-32B", "base_url": "http://127.0.0.1:8000/v1"}'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from finemem_env.backends.registry import BACKENDS, make_backend
from finemem_env.chunk_qa.candidates import Generator
from finemem_env.chunk_qa.cloze import ClozeGenerator
from finemem_env.chunk_qa.model import ModelGenerator
from finemem_env.chunk_qa.pipeline import ChunkQaReport, Yield, write_chunk_questions
from finemem_env.chunk_qa.quality import Quality, measure
from finemem_env.cli.frame import Parser, program, saving
from finemem_env.cli.options import at_least, model, positive
from finemem_env.cli.progress import Progress, begin
from finemem_env.cli.tables import number, text_table
from finemem_env.data.schema import read_episodes
from finemem_env.disk import check_output
from finemem_env.errors import ConfigError, nearest
from finemem_env.readers import make_reader
from finemem_env.readers.models import split_options, with_cache

_TEMPERATURE = 0.7  # of a generator that sets none


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, print the yield of every source and the quality of the questions.

    Raises:
        ConfigError: a bad option, or a file that is there already.
        DataError: the episode file is missing or malformed.
        BackendError: calls failed; running the same command again goes on.
    """
    options = _parser().parse_args(arguments)
    out = options.out
    if out.exists() and not options.force:
        raise ConfigError(f"--out: {out} is there already; --force replaces it.")
    check_output(out, options.episodes)
    verifier = make_reader(options.verifier)
    generator = make_generator(options.generator, options.ask)
    begin(f"questions about every chunk of {options.episodes}", out)
    hint = "What is done is kept beside it; the same command goes on with it."
    with saving(out, hint), Progress(0, "chunk") as progress:
        report = write_chunk_questions(
            options.episodes,
            out,
            generator,
            verifier,
            keep=options.keep,
            replace=options.replace,
            each=progress.reach,
        )
    _print_report(report)
    if options.quality:
        _print_quality(measure(read_episodes(out), verifier, options.quality))
    print(f"{out}\nsha256 {report.content_hash}")
    return 0


def _parser() -> Parser:
    parser = program("finemem_env chunk-qa", __doc__)
    add = parser.add_argument
    add("episodes", type=Path, help="episode file (see the command build)")
    add("--out", type=Path, required=True, metavar="FILE", help="a .jsonl or .jsonl.gz to write")
    add("--generator", type=model, default="local", metavar="MODEL", help="who writes")
    add("--verifier", type=model, default="local", metavar="MODEL", help="who must answer")
    add("--keep", type=positive, default=5, metavar="N", help="questions per chunk")
    add("--ask", type=positive, default=10, metavar="N", help="candidates per chunk")
    add("--replace", action="store_true", help="also for chunks that have questions already")
    add("--quality", type=at_least(0), default=1000, metavar="N", help="questions to measure")
    add("--force", action="store_true", help="replace FILE if it is there")
    return parser


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


def _print_report(report: ChunkQaReport) -> None:
    header = ["source", "chunks", "generated", "sound", "verified", "kept", "per chunk"]
    yields = dict(report.yields)
    if len(yields) > 1:
        yields["all"] = sum(yields.values(), Yield())
    rows = []
    for name, total in yields.items():
        counts = (total.chunks, total.generated, total.sound, total.verified, total.kept)
        each = total.kept / total.chunks if total.chunks else 0.0
        rows.append([name, *map(str, counts), number(each, 2)])
    print(text_table(header, rows, rule=False))


def _print_quality(quality: Quality) -> None:
    print(
        f"answered from the chunk {quality.from_chunk:.3f}, from the rest of the episode "
        f"{quality.from_the_rest:.3f}, from nothing {quality.from_nothing:.3f} "
        f"({quality.questions} questions, {quality.failed} failed)"
    )

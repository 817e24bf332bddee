"""Which reward, with which form of credit, is right when?  `python -m benchmarks.credit --help`.

A policy of one logit for each kind of sentence is trained with group-relative advantages on the
real environments. Cells (task x reward x form of credit x seed) are written to a file of JSON lines
as they finish; the same command continues where it stopped. With --shard I/N and an --output of its
own it is one of N parts, and --merge makes one file of theirs.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.credit_report import findings, paired, table
from benchmarks.credit_run import CREDITS, Budget, CreditCell, train
from benchmarks.credit_tasks import TASKS
from benchmarks.resumed import Record, stored, work_off
from finemem_env.cli.frame import Parser, command, program, saving
from finemem_env.cli.options import positive
from finemem_env.cli.progress import begin, tail
from finemem_env.cli.shards import add_parts, check_cells, check_there
from finemem_env.disk import write_whole
from finemem_env.errors import ConfigError, DataError, nearest

_CELL = ("task", "reward", "credit", "seed")  # what tells cells apart


COLUMNS = {
    f"{reward}/{credit}": (reward, credit)
    for credit, rewards in CREDITS.items()
    for reward in rewards
}


def cells(
    tasks: Sequence[str], seeds: int, columns: Sequence[str] = tuple(COLUMNS)
) -> list[CreditCell]:
    """Every cell of these tasks, seed by seed, so that a run cut short is a smaller study."""
    return [
        CreditCell(task, *COLUMNS[column], seed)
        for seed in range(seeds)
        for task in tasks
        for column in columns
    ]


def read_records(path: Path, budget: Budget | None = None) -> Iterator[Record]:
    """The finished cells of `path`, with a budget those run with it; a torn line is skipped."""
    for record in stored(path):
        with contextlib.suppress(DataError):
            whole = set(_CELL) <= set(record.child("cell")) and {"budget", "curve"} <= set(record)
            if whole and (budget is None or record.get("budget") == asdict(budget)):
                yield record.mapping_of_all()


def run(wanted: Sequence[CreditCell], budget: Budget, path: Path, jobs: int) -> list[Record]:
    """Train the cells that `path` does not hold yet; returns the records of all wanted ones."""
    keys = {_key(asdict(cell)) for cell in wanted}
    done = {_key(record["cell"]): record for record in read_records(path, budget)}
    missing = [cell for cell in wanted if _key(asdict(cell)) not in done]
    begin(f"{len(missing)} trainings of {len(wanted)}", path, tail(path))
    work = partial(train, budget=budget)
    for record in work_off(missing, work, path, jobs, "cell", lambda row: row["cell"]["task"]):
        done[_key(record["cell"])] = record
    return [record for key, record in done.items() if key in keys]


def merge(
    wanted: Sequence[CreditCell], budget: Budget, paths: Sequence[Path], path: Path
) -> list[Record]:
    """Write the finished cells of `paths`, which are to be all wanted ones once, into `path`.

    In the order of a run with one job; returns the records.

    Raises:
        ConfigError: a cell that is missing or there twice, one of other settings, or a `path` that
            is there.
    """
    if path.exists():
        raise ConfigError(f"{path} is there already: choose another file as --output.")
    check_there(paths)
    parts = {str(part): list(read_records(part)) for part in paths}
    for name, records in parts.items():
        for record in records:
            if record["budget"] != asdict(budget):
                raise ConfigError(
                    f"{name} holds cells of other settings, {record['budget']}, not "
                    f"{asdict(budget)}: give the --updates that they were trained with."
                )
    places = {name: [_key(record["cell"]) for record in records] for name, records in parts.items()}
    order = [_key(asdict(cell)) for cell in wanted]
    check_cells(order, places)
    by_key = {_key(record["cell"]): record for records in parts.values() for record in records}
    records = [by_key[key] for key in order]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(json.dumps(record) + "\n" for record in records))
    return records


def _key(cell: Record) -> tuple[str, ...]:
    return tuple(str(cell[name]) for name in _CELL)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Train the cells that are missing; print tables and findings."""
    options = _parser().parse_args(arguments)
    for kind, names, known in (
        ("task", options.task, TASKS),
        ("column", options.column, COLUMNS),
    ):
        for name in names or ():
            if name not in known:
                raise ConfigError(nearest(kind, name, known))
    wanted = cells(options.task or list(TASKS), options.seeds, options.column or list(COLUMNS))
    budget, output, shard = Budget(updates=options.updates), options.output, options.shard
    hint = f"Finished cells are kept in {output}: the same command goes on."
    with saving(output, hint):
        if options.merge:
            records = merge(wanted, budget, options.merge, output)
        else:
            records = run(shard.take(wanted) if shard else wanted, budget, output, options.jobs)
    if shard:
        print(f"shard {shard} is done: {len(records)} cells in {output}; --merge puts all together")
        return 0
    print(table(records))
    print(f"\n{both}\n" if (both := paired(records)) else "")
    for line in findings(records):
        print(f"- {line}")
    return 0


def _parser() -> Parser:
    tasks = "\n".join(f"  {name:<22} {task.description}" for name, task in TASKS.items())
    columns = "\n".join(f"  {name}" for name in COLUMNS)
    parser = program(
        "benchmarks.credit",
        "Credit study without a language model.",
        f"tasks (each changes the reference in what its name says):\n{tasks}\n\n"
        f"columns:\n{columns}",
    )
    add = parser.add_argument
    add("--task", action="append", help="may be repeated (default: all)")
    add("--column", action="append", help="may be repeated (default: all)")
    add("--seeds", type=positive, default=10, help="runs a cell")
    add("--updates", type=positive, default=30, help="updates a run")
    add("--jobs", type=positive, default=2, help="processes")
    add(
        "--output",
        type=Path,
        default=Path("runs/credit.jsonl"),
        help="finished cells, continued when it exists",
    )
    add_parts(parser, "FILE", "--output, a new file")
    return parser


if __name__ == "__main__":
    sys.exit(main())

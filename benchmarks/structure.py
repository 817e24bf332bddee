"""The shape of the code, measured: `python -m benchmarks.structure [--svg docs/map.svg] [--runs]`.

Prints what a reader of the code meets: modules, imports in circles, chains, lines, long functions.
`--svg` draws the packages and their imports; `--runs` counts the files that one question and one
training update enter (it trains the packaged model for one update). Imports inside functions count
as any other; those under `if TYPE_CHECKING` do not.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from finemem_env.cli.frame import command, program
from finemem_env.extras import load

if TYPE_CHECKING:
    import networkx as nx

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("finemem_env", "envs", "baselines", "agents")
LONG = 60  # lines of a function that fits a screen


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and draw or run where asked."""
    parser = program("benchmarks.structure", __doc__)
    parser.add_argument("--svg", type=Path, help="write the picture of the packages there")
    parser.add_argument("--runs", action="store_true", help="run a question and an update too")
    options = parser.parse_args(arguments)
    modules = import_graph()
    rows = dict(measure(modules))
    if options.runs:
        rows |= dict(measure_runs())
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")
    if options.svg is not None:
        from benchmarks.structure_svg import draw

        options.svg.write_text(draw(room_graph(modules)), encoding="utf-8")
        print(f"wrote {options.svg}")
    return 0


def import_graph() -> nx.DiGraph:
    """Every module of ours, with an edge from each importer to what it imports."""
    imports = _load("grimp").build_graph(
        *PACKAGES, exclude_type_checking_imports=True, cache_dir=None
    )
    graph: nx.DiGraph = _load("networkx").DiGraph()
    graph.add_nodes_from(imports.modules)
    for module in imports.modules:
        graph.add_edges_from(
            (module, to) for to in imports.find_modules_directly_imported_by(module)
        )
    return graph


def room_graph(modules: nx.DiGraph) -> nx.DiGraph:
    """The same for rooms: packages and lone modules two levels deep, such as finemem_env.memory."""
    rooms: nx.DiGraph = _load("networkx").DiGraph()
    rooms.add_nodes_from({room(module) for module in modules} - {"agents", "baselines", "envs"})
    rooms.add_edges_from((room(a), room(b)) for a, b in modules.edges if room(a) != room(b))
    return rooms


def room(module: str) -> str:
    """The first two parts of a module's name; a top package's own file is a room of that name."""
    return ".".join(module.split(".")[:2])


def measure(modules: nx.DiGraph) -> Iterator[tuple[str, object]]:
    """What needs no run: a name and a value each."""
    nx = _load("networkx")
    rooms = room_graph(modules)
    top = [path for path in (ROOT / "finemem_env").iterdir() if path.suffix == ".py"]
    yield "modules", len(modules)
    yield "modules at the top of finemem_env", len(top)
    yield "rooms (packages and lone modules)", len(rooms)
    yield "imports between rooms", rooms.number_of_edges()
    yield "import circles of modules", _listed(circles(modules))
    yield "import circles of rooms", _listed(circles(rooms))
    yield "longest import chain, modules", nx.dag_longest_path_length(nx.condensation(modules)) + 1
    yield "longest import chain, rooms", nx.dag_longest_path_length(nx.condensation(rooms)) + 1
    for name, count in lines_by_package().items():
        yield f"lines of {name}", count
    yield f"functions over {LONG} lines", _listed(list(long_functions()))
    yield "largest file", max((_lines(path), _shown(path)) for path in sources(PACKAGES))


def circles(graph: nx.DiGraph) -> list[str]:
    """Sets of nodes that reach each other."""
    components = _load("networkx").strongly_connected_components(graph)
    groups = (sorted(group) for group in components if len(group) > 1)
    return sorted(" <-> ".join(group) for group in groups)


def sources(folders: Iterable[str]) -> Iterator[Path]:
    """The Python files that git tracks there."""
    command = ["git", "ls-files", "--", *(f"{folder}/*.py" for folder in folders)]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from (ROOT / line for line in listed.splitlines() if (ROOT / line).exists())


def lines_by_package() -> Mapping[str, int]:
    """Lines of Python by top folder, tests and benchmarks beside the packages."""
    return {
        folder: sum(map(_lines, sources((folder,))))
        for folder in (*PACKAGES, "benchmarks", "tests")
    }


def long_functions() -> Iterator[str]:
    """Functions of ours with more than `LONG` lines."""
    for path in sources((*PACKAGES, "benchmarks")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONG:
                    yield f"{_shown(path)}:{node.name} ({length})"


def measure_runs() -> Iterator[tuple[str, object]]:
    """Files of ours whose code runs for one question's score and for one training update."""
    yield "files that one question enters", len(entered(_one_step))
    yield "files that one training update enters", len(entered(_one_update))


def entered(run: Callable[[], None]) -> set[str]:
    """Files of ours in which a function was called while `run` ran."""
    files: set[str] = set()
    folders = tuple(str(ROOT / name) + "/" for name in PACKAGES)

    def seen(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {name for name in files if name.startswith(folders)}


def _one_step() -> None:
    import gymnasium as gym

    import finemem_env  # noqa: F401 - registers the ids

    env = gym.make("FineMem-AR-v0", num_chunks=1)
    env.reset(seed=0)
    env.step('[{"op": "INSERT", "content": "The red key opens the cellar."}]')


def _one_update() -> None:
    import contextlib
    import io
    import tempfile

    from agents.grpo import main as train

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        train(["--smoke", "--updates", "1", "--output-dir", f"{folder}/run"])


def _load(name: str) -> Any:  # noqa: ANN401 - a module
    return load(name, "benchmarks.structure", "dev")


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _listed(names: list[str]) -> str:
    return "; ".join([str(len(names)), *names])


if __name__ == "__main__":
    sys.exit(main())

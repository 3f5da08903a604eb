"""Who may import whom, what stays light, and that no flow hides a package."""

from __future__ import annotations

import ast
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LAYERS = ("flows", "tasks", "models", "schemas")  # each imports itself and what follows it
HEAVY = ("torch", "prefect", "polars", "matplotlib", "pyarrow")


def modules() -> list[Path]:
    return [path for layer in LAYERS for path in sorted((REPOSITORY / layer).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level package and line of every import, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is relative"
            yield (node.module or "").partition(".")[0], node.lineno


def test_imports_go_down_only() -> None:
    wrong = []
    for path in modules():
        own = LAYERS.index(path.relative_to(REPOSITORY).parts[0])
        for package, line in imports(path):
            if package in LAYERS and LAYERS.index(package) < own:
                wrong.append(f"{path.relative_to(REPOSITORY)}:{line} imports {package}")
            if package in ("tests", "benchmarks", "conf"):
                wrong.append(f"{path.relative_to(REPOSITORY)}:{line} imports {package}")
    assert not wrong


def test_prefect_stands_in_flows_and_task_modules_only() -> None:
    wrong = []
    for path in modules():
        parts = path.relative_to(REPOSITORY).parts
        allowed = parts[0] == "flows" or (parts[0] == "tasks" and len(parts) == 3 and parts[2] == "task.py")
        wrong += [
            f"{'/'.join(parts)}:{line}" for package, line in imports(path) if package == "prefect" and not allowed
        ]
    assert not wrong


def test_models_read_no_files_and_schemas_know_no_network() -> None:
    for path in modules():
        layer = path.relative_to(REPOSITORY).parts[0]
        packages = {package for package, _ in imports(path)}
        if layer == "models":
            assert not packages & {"pathlib", "os", "pyarrow", "polars", "subprocess"}, path
        if layer == "schemas":
            assert not packages & {"torch", "numpy", "polars", "prefect"}, path


def test_no_flow_hides_a_package() -> None:
    """Prefect puts `flows/` first on sys.path for a path entrypoint: `flows/models.py` would hide `models`."""
    hidden = []
    for path in (REPOSITORY / "flows").glob("*.py"):
        if path.stem == "__init__":
            continue
        spec = importlib.util.find_spec(path.stem)
        if path.stem in LAYERS or path.stem in sys.stdlib_module_names or spec is not None:
            hidden.append(f"{path.name} hides {spec.origin if spec else path.stem}")
    assert not hidden


def test_the_guard_sees_what_it_guards() -> None:
    found = {package for path in modules() for package, _ in imports(path)}
    assert {"prefect", "torch", "schemas", "models", "tasks"} <= found
    assert len(modules()) > 60


def in_fresh_process(code: str) -> dict[str, object]:
    """Run code; its CPU seconds (user, which other processes do not lengthen) and the modules it has loaded."""
    report = "import json, resource, sys; spent = resource.getrusage(resource.RUSAGE_SELF)\n"
    report += "print(json.dumps({'seconds': spent.ru_utime, 'modules': sorted(sys.modules)}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def loaded_by(code: str) -> set[str]:
    names = in_fresh_process(code)["modules"]
    assert isinstance(names, list)
    return {name.partition(".")[0] for name in names}


SCHEMAS = "import schemas.errors, schemas.ids, schemas.presets, schemas.runs, schemas.cards, schemas.pipeline"
HELP = """
import io, sys
from contextlib import redirect_stdout
from flows.cli import main
sys.argv = ["affectflow", "{arguments}"]
try:
    with redirect_stdout(io.StringIO()) as told:
        main()
except SystemExit as end:
    assert not end.code, end.code
assert "Usage" in told.getvalue()
"""


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (SCHEMAS, HEAVY),
        (HELP.format(arguments="--help"), HEAVY),
        (HELP.format(arguments='run", "--help'), HEAVY),
        ("import tasks.faces.worker", ("torch", "prefect", "polars", "matplotlib")),
        ("import flows.plan", ("torch", "prefect", "polars", "matplotlib")),
        ("import models.khorrami, models.labels, models.metrics, models.chips", ("prefect", "pyarrow", "polars")),
        ("import tasks.training.stage, tasks.evaluation.stage, tasks.report.stage", ("prefect",)),
    ],
    ids=["schemas", "help", "run help", "worker", "plan", "models", "stages"],
)
def test_heavy_packages_stay_out(code: str, absent: tuple[str, ...]) -> None:
    assert not loaded_by(code) & set(absent)


@pytest.mark.parametrize("code", [SCHEMAS, HELP.format(arguments="--help")], ids=["schemas", "help"])
def test_light_starts_take_less_than_half_a_second(code: str) -> None:
    seconds = [in_fresh_process(code)["seconds"] for _ in range(5)]
    assert statistics.median(float(str(one)) for one in seconds) < 0.5


def test_the_console_script_answers() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("affectflow")), "--help"], check=True, capture_output=True, text=True
    )
    for command in ("demo", "ingest", "faces", "train", "features", "predict", "evaluate", "run"):
        assert command in done.stdout

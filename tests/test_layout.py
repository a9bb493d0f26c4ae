"""The rooms of the package: imports only go down, notebooks use the doors, files stay readable."""

import ast
import importlib
import json
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "helpers"
FLOORS = (
    {"common"},
    {"transforms"},
    {"settings", "models", "report"},
    {"data", "methods"},
    {"evaluation"},
    {"training"},
    {"cli"},
    {"notebook", "__main__"},
)
MOST_ENTRIES, MOST_ROOMS, MOST_LINES, WIDEST = 13, 10, 300, 100
FILES = sorted(PACKAGE.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def module_of(path):
    """helpers/data/scan.py -> helpers.data.scan; a room's __init__.py is the room."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}
ROOMS = {module_of(path) for path in FILES if path.name == "__init__.py"} - {"helpers"}


def imported(source, name="the code"):
    """Every module that a source imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {argument.value for argument in node.args
                      if isinstance(argument, ast.Constant)}
    return found


def own_modules(names):
    """The package's modules among names such as `helpers.data.scan.scan`."""
    return {name if name in MODULES else name.rpartition(".")[0]
            for name in names if name.split(".")[0] == "helpers"}


IMPORTS = {module_of(path): own_modules(imported(path.read_text("utf-8"), path)) for path in FILES}


def floor_of(module):
    room = (module.split(".") + [""])[1]
    return next((floor for floor, rooms in enumerate(FLOORS) if room in rooms), None)


def room_of(module):
    return module.split(".")[1] if "." in module else ""


def cells(path):
    """The Python of a notebook's code cells, without magics."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            yield "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)


def test_every_module_has_a_floor():
    homeless = [name for name in MODULES - {"helpers"} if floor_of(name) is None]
    assert not homeless


def test_imports_stay_in_their_room_or_go_down():
    up = [f"{name} imports {other}"
          for name, others in IMPORTS.items() if name != "helpers"
          for other in others - {"helpers"}
          if room_of(name) != room_of(other) and floor_of(other) >= floor_of(name)]
    assert not up


def test_the_rule_reads_imports_in_functions_and_under_type_checking():
    source = ("if TYPE_CHECKING:\n    from helpers.cli import main\n"
              "def f():\n    import helpers.training.find\n"
              "    importlib.import_module('helpers.cli.doctor').brief()\n")
    assert own_modules(imported(source)) == {"helpers.cli.main", "helpers.training.find",
                                             "helpers.cli.doctor"}
    with pytest.raises(AssertionError, match="imports relatively"):
        imported("from . import scan")


def test_inside_the_package_modules_are_imported_and_not_doors():
    by_door = [f"{name} imports {room}" for name, others in IMPORTS.items()
               for room in others & ROOMS]
    assert not by_door


def test_no_module_imports_itself_in_a_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_every_name_that_is_imported_exists_in_functions_and_benchmarks_too():
    folders = [PACKAGE, ROOT / "scripts", ROOT / "benchmarks"]
    names = {name for folder in folders for path in folder.rglob("*.py")
             for name in imported(path.read_text("utf-8"), path) if name.startswith("helpers.")}
    assert not sorted(name for name in names if name not in MODULES and not exists(name))


def exists(name):
    """Whether a module has the name: "helpers.data.scan.scan"."""
    module, _, attribute = name.rpartition(".")
    return module in MODULES and hasattr(importlib.import_module(module), attribute)


def test_the_top_of_the_package_can_be_overlooked():
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES


def test_the_package_does_not_need_the_maintainers_scripts():
    needing = [path for path in FILES
               if any(name.split(".")[0] in ("scripts", "tests", "benchmarks")
                      for name in imported(path.read_text("utf-8"), path))]
    assert not needing


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_a_notebook_enters_by_the_doors_of_few_rooms(notebook):
    rooms = set()
    for source in cells(notebook):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("helpers") for alias in node.names), source
            elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "helpers":
                assert node.module.count(".") == 1, f"{node.module} is not a room's door"
                room = importlib.import_module(node.module)
                missing = [alias.name for alias in node.names if not hasattr(room, alias.name)
                           and f"{node.module}.{alias.name}" not in MODULES]
                assert not missing, f"{node.module} does not offer {missing}"
                rooms.add(node.module)
    assert len(rooms) <= MOST_ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_what_a_room_offers_exists_and_is_called_like_none_of_its_modules(room):
    module = importlib.import_module(room)
    offered = {name: getattr(module, name) for name in getattr(module, "__all__", [])}
    assert not [name for name, value in offered.items()
                if f"{room}.{name}" in MODULES and not isinstance(value, ModuleType)]


def test_no_file_of_the_package_is_longer_than_a_person_reads():
    long = {path.name: count for path in FILES
            if (count := len(path.read_text("utf-8").splitlines())) > MOST_LINES}
    assert not long


@pytest.mark.parametrize("folder", ["helpers", "scripts", "tests", "benchmarks"])
def test_no_line_of_code_is_wider_than_a_page(folder):
    files = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8").splitlines()
             for path in sorted((ROOT / folder).rglob("*.py"))}
    assert not [f"{name}:{number}" for name, lines in files.items()
                for number, line in enumerate(lines, 1) if len(line) > WIDEST]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_no_line_of_a_notebook_is_wider_than_a_page(notebook):
    assert [line for source in cells(notebook) for line in source.splitlines()
            if len(line) > WIDEST] == []


def test_no_docstring_is_left_to_be_written():
    said = {path: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in FILES}
    undone = [path for path, text in said.items() if re.match("TODO|$", text or "")]
    assert not undone

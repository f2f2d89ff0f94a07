"""The house's floors and rooms, read from the imports themselves: who may know whom, and who may touch the world.

How the rule reads: a file imports from floors below its own, or, on its own floor, from its own folder; and no chain
of imports comes back to where it began. Imports for types alone count too. `async_client` and `client` are files of
one folder and one floor, as are `session` and `guide`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

import barechat

SOURCE = Path(barechat.__file__).parent
FLOORS = {
    **dict.fromkeys(("errors", "records", "parameters", "settings", "usage", "media", "notices"), 0),
    **dict.fromkeys(("wire", "money", "schema", "fitting", "docstrings", "spending"), 1),
    **dict.fromkeys(("exchange", "steps", "receipt", "attempts", "history", "filing", "shapes", "options"), 2),
    **dict.fromkeys(("drive", "transport", "ledger", "parsing", "tool", "rounds", "tools"), 3),
    **dict.fromkeys(("base_client", "client", "async_client", "streams", "files", "session_file"), 4),
    **dict.fromkeys(("session", "conversation", "guide", "bulk"), 5),
    **dict.fromkeys(("cli", "pytest_plugin"), 6),
}
# What a client loads when its method is first called, though it stands above.
LOADED_LATE = {"client": {"bulk"}, "async_client": {"bulk"}}
STARTS_THE_SIMULATOR = {"cli", "pytest_plugin"}
WORLD = frozenset(
    [
        "aiohappyeyeballs",
        "aiohttp",
        "asyncio",
        "click",
        "fcntl",
        "glob",
        "http",
        "httpx",
        "importlib",
        "io",
        "multiprocessing",
        "msvcrt",
        "os",
        "pathlib",
        "queue",
        "random",
        "requests",
        "rich",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib3",
        "urllib.request",
    ]
)
# Who may touch the world, and which part of it.
TOUCHES: dict[str, set[str]] = {
    "settings": {"os", "urllib.request"},  # environment variables
    "notices": {"sys"},  # the caller's line
    "drive": {"asyncio", "os", "threading"},  # so that another thread, task or process may close what one reads
    "base_client": {"os", "random", "time"},  # the clocks, noise and ids that it hands on
    "client": {"threading"},  # its waits
    "async_client": {"asyncio"},  # its sleep
    "options": {"os"},  # a path's type
    "files": {"pathlib"},  # what is sent along with a message
    "conversation": {"pathlib", "threading"},  # a lock, so that turns that end together are both kept; its file's name
    "session_file": {"fcntl", "msvcrt", "os", "pathlib", "sys"},  # a conversation's file, and who may write it
    "tools": {"asyncio", "threading"},  # a round's calls, at the same time
    "money.meter": {"os", "threading"},  # a lock that survives a fork
    "money.prices": {"pathlib"},  # its table, and the caller's
}
FREE_ROOMS = {"transport", "ledger", "bulk", "cli", "simulator"}


@dataclass(frozen=True)
class Module:
    """One file, and what it imports: names of modules, those of barechat without `barechat.`."""

    name: str
    own: frozenset[str]
    foreign: frozenset[str]
    calls: frozenset[str]
    reads_environment: bool

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]


def read_modules() -> dict[str, Module]:
    files = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
    }
    return {name: read_module(name, path, set(files)) for name, path in files.items()}


def read_module(name: str, path: Path, known: set[str]) -> Module:
    own, foreign, calls = set(), set(), set()
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    for node in nodes:
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            imported = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                calls.add(node.func.id)
            continue
        for full in imported:
            if full == "barechat.__version__":
                continue  # a word, no module
            if full.partition(".")[0] == "barechat":
                inner = full.removeprefix("barechat").removeprefix(".")
                own.add(inner if inner in known else inner.rpartition(".")[0])
            else:
                foreign.add("urllib.request" if full.startswith("urllib.request") else full.partition(".")[0])
    reads = any(isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} for node in nodes)
    return Module(name, frozenset(own), frozenset(foreign), frozenset(calls), reads)


MODULES = read_modules()
FILES = sorted(set(MODULES) - {"__init__"})


def test_every_room_has_a_floor() -> None:
    rooms = {MODULES[name].room for name in FILES}
    assert rooms - {"simulator"} == set(FLOORS)


@pytest.mark.parametrize("name", [name for name in FILES if MODULES[name].room != "simulator"])
def test_a_file_imports_only_from_its_own_folder_or_from_floors_below(name: str) -> None:
    module = MODULES[name]
    floor = FLOORS[module.room]
    for other in module.own:
        if not other:
            assert module.room == "cli", f"{name} imports the promise, which stands above it"
            continue
        room = other.partition(".")[0]
        if room in LOADED_LATE.get(name, ()):
            continue
        if room == "simulator":
            assert module.room in STARTS_THE_SIMULATOR, f"{name} imports the simulator"
            continue
        is_own_folder = room == module.room or (FLOORS[room] == floor and not is_package(room, module.room))
        assert FLOORS[room] < floor or is_own_folder, f"{name} (floor {floor}) imports {other} (floor {FLOORS[room]})"


def is_package(*rooms: str) -> bool:
    return any((SOURCE / room).is_dir() for room in rooms)


def test_no_chain_of_imports_comes_back_to_where_it_began() -> None:
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in MODULES[name].own & MODULES.keys():
                if other.partition(".")[0] in LOADED_LATE.get(name, ()):
                    continue
                if other != name and not (other.count(".") == 0 and name.startswith(f"{other}.")):
                    walk(other, (*path, name))
            done.add(name)

    for name in FILES:
        walk(name, ())


@pytest.mark.parametrize("name", [name for name in FILES if MODULES[name].room == "simulator"])
def test_the_simulator_knows_nothing_of_the_client(name: str) -> None:
    assert {other.partition(".")[0] for other in MODULES[name].own} <= {"simulator"}


@pytest.mark.parametrize("name", [name for name in FILES if MODULES[name].room not in FREE_ROOMS])
def test_only_the_rooms_for_it_touch_the_world(name: str) -> None:
    module = MODULES[name]
    assert module.foreign & WORLD <= TOUCHES.get(name, set())
    assert "open" not in module.calls


def test_the_list_of_who_touches_the_world_is_no_longer_than_it_must_be() -> None:
    assert {name: set(MODULES[name].foreign & WORLD) for name in TOUCHES} == TOUCHES


def test_environment_variables_are_read_in_one_place() -> None:
    readers = {name for name in FILES if MODULES[name].room not in FREE_ROOMS and MODULES[name].reads_environment}
    assert readers == {"settings"}


def test_what_a_browser_lacks_is_not_on_the_way_to_the_async_client() -> None:
    seen, left = set(), ["async_client"]
    while left:
        name = left.pop()
        seen.add(name)
        late = LOADED_LATE.get(name, set())
        left += [
            other
            for other in MODULES[name].own
            if other in MODULES and other not in seen and other and other.partition(".")[0] not in late
        ]
    on_the_way = {name for name in seen if MODULES[name].room != "transport"}
    assert not {other for name in on_the_way for other in MODULES[name].foreign} & {
        *("socket", "ssl", "select", "selectors", "subprocess", "multiprocessing", "fcntl", "signal"),
        *("aiohappyeyeballs", "urllib3", "click"),
    }

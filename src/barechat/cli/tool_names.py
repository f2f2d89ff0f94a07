"""Which functions does `--tool module:function` name? They are imported as `python -m` would, from here first."""

from __future__ import annotations

import difflib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barechat.tool import Tool


def tools_of(names: Sequence[str]) -> tuple[Tool, ...]:
    """Return the tools of these names.

    Raises:
        click.UsageError: one can't be imported, or is no function that can be described to a model.
    """
    here = str(Path.cwd())
    if names and here not in sys.path:
        sys.path.insert(0, here)
    return tuple(_tool(name) for name in names)


def _tool(name: str) -> Tool:
    from barechat.errors import ParameterError  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.tool import tool_of  # noqa: PLC0415 - likewise

    module, _, path = name.partition(":")
    if not module or not path:
        raise click.UsageError(f"--tool {name!r}: write it as MODULE:FUNCTION.")
    try:
        tool = tool_of(_found(_imported(module, name), path, name))
    except ParameterError as error:
        raise click.UsageError(f"--tool {name}: {error}") from error
    if tool.is_async:
        raise click.UsageError(f"--tool {name}: it is a coroutine function, and the command calls plain ones.")
    return tool


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise click.UsageError(
                f"--tool {name}: there is no module {error.name}, neither here nor where Python looks."
            ) from error
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> click.UsageError:
    return click.UsageError(f"--tool {name}: its module can't be imported: {type(error).__name__}: {error}")


def _found(module: Any, path: str, name: str) -> Any:
    found, where = module, name.partition(":")[0]
    for part in path.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, [one for one in dir(found) if not one.startswith("_")], n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise click.UsageError(f"--tool {name}: there is no {part} in {where}{hint}")
        found, where = getattr(found, part), f"{where}{'.' if ':' in where else ':'}{part}"
    return found

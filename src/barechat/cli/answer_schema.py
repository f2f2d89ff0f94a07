"""What does `--schema FILE` ask for, and does an answer hold it? A JSON schema, by the API's strict mode."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from barechat.errors import ParameterError
from barechat.fitting import misfit
from barechat.parameters import shown
from barechat.schema import OR_NOT_STRICT, Schema, check_schema, enclosed, name_of, strict
from barechat.wire.body import plain

if TYPE_CHECKING:
    from pathlib import Path


class UnfitError(Exception):
    """An answer that isn't what was asked for. The message says why."""


@dataclass(frozen=True, kw_only=True)
class AnswerSchema:
    """A JSON schema for answers. One whose root is no object stands in one, under `value`, since the API wants that."""

    name: str
    schema: Schema
    is_enclosed: bool

    @property
    def response_format(self) -> dict[str, Any]:
        """What a request asks for it with."""
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": self.schema, "strict": True}}

    def read(self, text: str) -> Any:
        """Return what an answer holds.

        Raises:
            UnfitError: it isn't JSON, or not by the schema: not every server keeps to one.
        """
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise UnfitError(f"the answer isn't JSON: {error}; it begins {shown(text[:60])}") from error
        if (told := misfit(value, self.schema, "the answer")) is not None:
            raise UnfitError(f"{told}; the answer begins {shown(text[:60])}")
        return value["value"] if self.is_enclosed else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it has {constant}, which JSON has not")


def schema_of(path: Path) -> AnswerSchema:
    """Read a file's schema. It is called what its title says, or as the file.

    Raises:
        click.UsageError: the file can't be read, isn't JSON, or is no schema that the strict mode takes.
    """
    try:
        found = plain(json.loads(path.read_text("utf-8-sig")), "schema")
        check_schema(found, "schema")
        schema, is_enclosed = enclosed(found)
        made = strict(schema, "schema")
    except OSError as error:
        raise click.UsageError(f"the schema {path} can't be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ParameterError):
            raise click.UsageError(f"--schema {path}: {str(error).removesuffix(OR_NOT_STRICT)}.") from error
        raise click.UsageError(f"the schema {path} is not JSON: {error}.") from error
    title = found.get("title")
    name = name_of(title if isinstance(title, str) else "") or name_of(path.stem) or "answer"
    return AnswerSchema(name=name, schema=made, is_enclosed=is_enclosed)

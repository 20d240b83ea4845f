"""`schema`: the JSON Schemas of what is read and written."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, assert_never

import typer

from licensesync.cli.streams import print_result


class Document(StrEnum):
    SETTINGS = "settings"
    INVENTORY = "inventory"
    PLAN = "plan"
    REPORT = "report"
    STATUS = "status"


def schema(name: Annotated[Document, typer.Argument(help="Which document the schema describes.")]) -> None:
    """Print a JSON Schema, for editors and scripts."""
    print_result(json.dumps(_schema(name), indent=2).encode())


def _schema(name: Document) -> object:
    from licensesync import schemas
    from licensesync.render import schemas as rendered

    match name:
        case Document.SETTINGS:
            return schemas.settings_schema()
        case Document.INVENTORY:
            return schemas.inventory_schema()
        case Document.PLAN:
            return rendered.plan_schema()
        case Document.REPORT:
            return rendered.report_schema()
        case Document.STATUS:
            return rendered.status_schema()
        case _:
            assert_never(name)

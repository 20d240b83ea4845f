"""The program's arguments and exits: global options, the table of commands, errors as messages and codes."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from licensesync import __version__
from licensesync.cli import streams
from licensesync.cli.apply import apply
from licensesync.cli.check import check
from licensesync.cli.demo import demo
from licensesync.cli.doctor import doctor
from licensesync.cli.explain import explain
from licensesync.cli.history import history
from licensesync.cli.import_ import import_
from licensesync.cli.options import Globals, LogFormat, LogLevel
from licensesync.cli.plan import plan
from licensesync.cli.quarantine import quarantine
from licensesync.cli.schema import schema
from licensesync.cli.serve import serve
from licensesync.cli.simulate import simulate
from licensesync.cli.status import status
from licensesync.errors import LicenseSyncError, Locked, ProblemsError
from licensesync.exit_codes import ExitCode
from licensesync.problems import printable

app = typer.Typer(
    name="licensesync",
    help="Keeps the licenses of a ThingSpace account in step with a YAML inventory in git.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in a third of the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (check, plan, apply, serve, import_, status, history, explain, doctor, schema, simulate, demo):
    app.command(command.__name__.rstrip("_"))(command)  # `import` is a word of Python
app.add_typer(quarantine)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"licensesync {__version__}")
        raise typer.Exit


@app.callback()
def globals_(
    context: typer.Context,
    *,
    settings: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The settings file; else $LICENSESYNC_SETTINGS, else ./licensesync.yaml, …"),
    ] = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="console on a terminal, json elsewhere.")] = None,
    log_level: Annotated[LogLevel, typer.Option(help="The least important events that are logged.")] = LogLevel.INFO,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    context.obj = Globals(settings, log_format, log_level)


_COMMANDS = get_command(app)
"""What the table above means, worked out at the import: that is most of what a short command costs besides imports."""


def main() -> NoReturn:
    """Run the command line; exits with the codes of `ExitCode`."""
    streams.open_what_is_closed()
    code = _code_of(sys.argv[1:])
    sys.exit(code if streams.all_written() else code or ExitCode.UNUSABLE)


def _code_of(arguments: list[str]) -> int:
    try:
        code = int(_COMMANDS(arguments, prog_name="licensesync", standalone_mode=False) or ExitCode.FINE)
    except TyperException as error:
        _show_usage(error)
        return ExitCode.USAGE
    except ProblemsError as error:
        streams.say("\n".join(printable(str(problem)) for problem in error.problems))
        return ExitCode.UNUSABLE
    except LicenseSyncError as error:
        streams.say(f"licensesync: {error}")
        return ExitCode.LOCKED if isinstance(error, Locked) else ExitCode.UNUSABLE
    except OSError as error:
        where = f"{error.filename}: " if error.filename and error.strerror else ""
        streams.say(f"licensesync: {where}{error.strerror or error}")
        return ExitCode.UNUSABLE
    except (typer.Abort, KeyboardInterrupt):
        streams.say("licensesync: stopped")
        return ExitCode.UNUSABLE
    if code == ExitCode.INTERRUPTED:
        streams.say("licensesync: interrupted")
    return code


def _show_usage(error: TyperException) -> None:
    show = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        streams.say(f"licensesync: {error}")

"""Runs the simulator as a program."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensesync.simulator.quirks import TABLE, find, read
from licensesync.simulator.state import StateError, is_account_name
from licensesync.simulator.values import BadValueError

if TYPE_CHECKING:
    from licensesync.simulator.auth import Credentials

_WIDTH = 76
_AS_IT_STANDS = "\b"  # keeps the help from filling the lines of this paragraph anew


def simulate(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0: any free port.")] = 0,
    state: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="A JSON file with the world: read at the start if it exists, written at the end."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Repeats a day; without it, another one each time.")] = None,
    kind: Annotated[bool, typer.Option("--kind", help="Start with all misbehaviour switched off.")] = False,
    page_size: Annotated[int | None, typer.Option(min=1, help="Devices on a page (20; with --kind 1000).")] = None,
    latency: Annotated[float, typer.Option(min=0, help="Milliseconds before each answer.")] = 0,
    credentials: Annotated[
        str | None,
        typer.Option(metavar="FILE|KEY:SECRET:USER:PASSWORD", help="Accept only these; else any are accepted."),
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="An account, repeatable (0642233522-00001).")
    ] = None,
    devices: Annotated[int, typer.Option(min=0, help="Generated devices that hold a license at the start.")] = 0,
    licenses: Annotated[int, typer.Option(min=0, help="Licenses bought, at least as many as --devices.")] = 1000,
    quirk: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set a quirk, repeatable; see the list above.")
    ] = None,
    stop_after: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="End by itself.")] = None,
) -> None:
    quirks = dict(_quirk(text) for text in quirk or [])
    if state is not None and not state.absolute().parent.is_dir():
        raise typer.BadParameter(f"{state}: there is no such folder to save it in", param_hint="--state")

    import asyncio

    from licensesync.simulator import server

    options = server.SimulatorOptions(
        port=port,
        accounts=_accounts(account or ([] if state and state.exists() else [server.DEFAULT_ACCOUNT])),
        licenses=licenses,
        devices=devices,
        state=state,
        seed=seed,
        kind=kind,
        page_size=page_size,
        latency=latency / 1000,
        credentials=_credentials(credentials),
        quirks=quirks,
    )
    try:
        asyncio.run(server.serve(options, stop_after))
    except StateError as problem:
        raise typer.BadParameter(f"{state}: {problem}", param_hint="--state") from None
    except OSError as problem:
        raise typer.BadParameter(f"cannot start: {problem}", param_hint=f"--port {port}") from None


def _accounts(names: list[str]) -> tuple[str, ...]:
    for name in names:
        if not is_account_name(name):
            problem = f"{name!r} is not an account name; write ten digits, a hyphen and five digits"
            raise typer.BadParameter(problem, param_hint="--account")
    return tuple(names)


def _quirk(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    try:
        read(find(name), value)
    except BadValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--quirk") from None
    return name, value


def _credentials(text: str | None) -> "Credentials | None":
    if text is None:
        return None
    from licensesync.simulator.auth import Credentials

    path = Path(text)
    parts = (path.read_text().strip() if path.is_file() else text).split(":", 3)
    if len(parts) != 4 or not all(parts):
        problem = "write KEY:SECRET:USER:PASSWORD, or a file that holds it"
        raise typer.BadParameter(problem, param_hint="--credentials")
    return Credentials(*parts)


def _described() -> str:
    entries = "\n".join(
        textwrap.fill(
            f"{quirk.name} ({_default(quirk.unkind, quirk.kind)}): {quirk.help}", _WIDTH, subsequent_indent="    "
        )
        + "\n"
        + textwrap.fill(f"= {quirk.form}", _WIDTH, initial_indent="    ", subsequent_indent="      ")
        for quirk in TABLE.values()
    )
    return (
        f"{_INTRODUCTION}\n\nQuirks, each with its default (with --kind) and its values:\n\n{_AS_IT_STANDS}\n{entries}"
    )


def _default(unkind: str, kind: str) -> str:
    return unkind if unkind == kind else f"{unkind}; kind {kind}"


_INTRODUCTION = """Run a ThingSpace in memory on loopback, for tests, drills and demonstrations. It is not Verizon.

It is unkind by default: small pages, short tokens, some 503s, rows in no
order, all field names by turns. --kind switches that off. It prints one line
of JSON with its address and runs until it is interrupted. GET /_sim/help on
that address lists the calls that look into the world and change it.

A state file is {"accounts": {"0642233522-00001": {"total": 1000,
"licensed": ["990003425730535"]}}}; an account may also have the lists known,
unknown, locked and upgraded, "strict": true when only known devices exist,
and callbacks and skus as GET /_sim/world shows them (but pending: what is
promised and not done at the end is forgotten).

A dose says how often: on, off, a chance (0.04 or 4%), 2x (the next two) or #3
(the third from now); DOSE@CALLS sends it elsewhere: all, reads, writes, fota,
m2m, sim, token, revoke, login, logout, status, assign, remove, subscription,
devices, lookup, register, registrations, deregister, skus, sim-assign,
sim-unassign, joined by +. A dose of a callback counts devices, not calls.
Callbacks are sent to this machine only (localhost, 127.0.0.0/8, ::1).
Chance never spoils the same request twice in a row."""

simulate.__doc__ = _described()

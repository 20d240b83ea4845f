"""`demo`: a fleet is reconciled before your eyes, over real HTTP, without credentials, network or files of your own."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer

from licensesync.cli.options import Globals
from licensesync.errors import LicenseSyncError

ACCOUNT = "0642233522-00001"
STANDING = ["350000000000014", "350000000000022", "350000000000030", "350000000000048"]
RETIRED = ["350000000000907", "350000000000915"]
NEW = ["350000000000105", "350000000000113", "350000000000121"]
MISTYPED = "350000000000998"
LAST = "350000000000204"
BOTH = {STANDING[0]: "89148000000000000014", STANDING[1]: "89148000000000000022"}

SETTINGS = f"""\
thingspace:
  url: {{url}}
  batch_size: 2              # so small only to show several batches
inventory: inventory.yaml
pools:
  fota:
    product: fota
    account: "{ACCOUNT}"
    mode: full               # whoever holds a license and is not in the inventory loses it
  sim:
    product: sim-secure      # SIM-Secure licenses, of one SKU
    account: "{ACCOUNT}"
    sku: SIMSec-IoT
    mode: managed            # nobody lists who holds one: the ledger remembers
callbacks:                   # by which ThingSpace tells what became of each SIM-Secure request
  listen: 127.0.0.1:{{port}}
  public_url: http://127.0.0.1:{{port}}/thingspace
"""

INVENTORY = f"""\
groups:
  - name: chicago-meters
    licenses: [fota]
    priority: 10             # served before rotterdam when licenses run short
    devices:
{"".join(f'      - "{imei}"{chr(10)}' for imei in (*STANDING[2:], *NEW))}\
      - {{imei: "{MISTYPED}", note: nobody has such a device}}
  - name: harbour-sensors
    licenses: [fota, sim]    # a license of each; SIM-Secure goes by the device and the SIM in it
    priority: 10
    devices:
{"".join(f'      - {{imei: "{imei}", iccid: "{iccid}"}}{chr(10)}' for imei, iccid in BOTH.items())}\
  - name: rotterdam
    licenses: [fota]
    devices:
      - "{LAST}"
"""

FOTA = {"total": 8, "licensed": [*STANDING, *RETIRED], "unknown": [MISTYPED]}
WORLD = {"accounts": {ACCOUNT: {**FOTA, "skus": {"SIMSec-IoT": {"purchased": 5}}}}}

CREDENTIALS = {f"THINGSPACE_{name}": f"demo-{name.lower()}" for name in ("KEY", "SECRET", "USERNAME", "PASSWORD")}
CREDENTIALS |= {f"CALLBACK_{name}": f"demo-callback-{name.lower()}" for name in ("USERNAME", "PASSWORD")}


def demo(context: typer.Context) -> None:
    """Watch a small fleet being reconciled against the simulator: no credentials, no network, no files needed."""
    with tempfile.TemporaryDirectory(prefix="licensesync-demo-") as folder:
        home = Path(folder)
        (home / "world.json").write_text(json.dumps(WORLD))
        (home / "inventory.yaml").write_text(INVENTORY)
        with _simulator(home) as url:
            (home / "licensesync.yaml").write_text(SETTINGS.format(url=url, port=_free_port()))
            _tell(home, context.obj)


def _tell(home: Path, options: Globals) -> None:
    _say(
        "The account has 8 FOTA licenses, of which 6 are in use, and 5 SIM-Secure licenses. Nothing here is real: a "
        "simulator plays ThingSpace at your machine."
    )
    _say("This inventory says who should have one; in real life it lives in git:")
    typer.echo(INVENTORY)
    _say("1. Is what is written there right? No network needed.")
    _licensesync(home, options, "check", expected=0)
    _say("2. What would change? This only reads. Devices wait for a license where there are not enough.")
    _licensesync(home, options, "plan", expected=0)
    _say(
        "3. Do it. Every device gets exactly one outcome, also the one that ThingSpace does not know. What becomes of "
        "SIM-Secure requests is told by callbacks, for which this run waits."
    )
    _licensesync(home, options, "apply", "--yes", "--wait", "30s", logs="info", expected=5)
    _say("Exit code 5 says that a device was rejected. The others were served all the same.")
    _say("4. What is left? Only the rejected device, and the one that waits for a license.")
    _licensesync(home, options, "plan", expected=0)
    _say("5. Why? The ledger remembers every run.")
    _licensesync(home, options, "explain", MISTYPED, expected=0)
    _say("6. A device with licenses of both products has two stories.")
    _licensesync(home, options, "explain", STANDING[0], expected=0)
    _say(
        "That was it; the folder is gone again. With an account of your own: copy config/licensesync.yaml and "
        "config/inventory/, write your account and devices, set THINGSPACE_KEY, THINGSPACE_SECRET, "
        "THINGSPACE_USERNAME and THINGSPACE_PASSWORD, and start with `licensesync check` and `licensesync plan`: "
        "neither of them changes anything. `licensesync status` and `licensesync history` tell what was done. To "
        "rehearse failures: `licensesync simulate --help`."
    )


@contextmanager
def _simulator(home: Path) -> Iterator[str]:
    """The address of a simulator that runs as a program of its own until the end of the block."""
    command = _command("simulate", "--state", "world.json", "--latency", "100", "--seed", "1", "--stop-after", "300")
    with subprocess.Popen(  # noqa: S603 - our own program, no shell
        command, cwd=home, env=_environ(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as simulator:
        try:
            started = simulator.stdout.readline() if simulator.stdout else ""
            if not started:
                words = simulator.stderr.read() if simulator.stderr else ""
                raise LicenseSyncError(f"the simulator did not start: {words.strip()}")
            yield json.loads(started)["url"]
        finally:
            simulator.terminate()


def _free_port() -> int:
    """A port at which the callbacks can be heard."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _licensesync(home: Path, options: Globals, *arguments: str, expected: int, logs: str = "warning") -> None:
    """Show and run one command as a user would."""
    typer.secho(f"$ licensesync {shlex.join(arguments)}", bold=True)
    form = ["--log-format", options.log_format] if options.log_format else []
    command = _command(*form, "--log-level", logs, *arguments)
    ended = subprocess.run(command, cwd=home, env=_environ(home), check=False)  # noqa: S603 - our own program, no shell
    typer.echo()
    if ended.returncode != expected:
        raise LicenseSyncError(
            f"the demo expected exit code {expected}, but {arguments[0]} ended with {ended.returncode}"
        )


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "licensesync", *arguments]


def _environ(home: Path) -> Mapping[str, str]:
    """The environment without anything that would lead to real settings or credentials."""
    ours = ("THINGSPACE_", "CALLBACK_", "LICENSESYNC_", "CREDENTIALS_DIRECTORY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **CREDENTIALS, "PWD": str(home)}


def _say(words: str) -> None:
    typer.secho(words, fg="cyan")

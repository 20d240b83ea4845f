"""What systemd's units and the program say of each other; whether systemd understands them is for `.ci/steps`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from licensesync import credentials
from licensesync.daemon.rounds import DRAIN

UNITS = Path(__file__).parent.parent / "systemd"
NAMES = {name.lower().replace("_", "-") for name in credentials.ALL_NAMES}


def loaded(file: str) -> set[str]:
    """The credentials that a file lets systemd load, each from the store's file of its name."""
    pairs = re.findall(
        r"^LoadCredential(?:Encrypted)?=([\w-]+):licensesync\.([\w-]+)$", (UNITS / file).read_text(), re.MULTILINE
    )
    assert all(name == stored for name, stored in pairs), pairs
    return {name for name, _ in pairs}


def test_the_service_is_given_every_credential_that_the_program_looks_for() -> None:
    assert loaded("licensesync.service") == loaded("encrypted-credentials.conf") == NAMES
    assert loaded("licensesync-plan.service") == {each for each in NAMES if each.startswith(("thingspace-", "git-"))}


def test_a_service_that_stops_has_longer_than_it_takes_for_the_batch_in_hand() -> None:
    (minutes,) = re.findall(r"^TimeoutStopSec=(\d+)min$", (UNITS / "licensesync.service").read_text(), re.MULTILINE)
    assert int(minutes) * 60 > DRAIN


def test_the_command_for_people_runs_as_the_service_and_goes_by_its_drop_ins(tmp_path: Path) -> None:
    cat = f"cat {UNITS}/licensesync.service {UNITS}/encrypted-credentials.conf"
    programs = {
        "systemctl": f'[ "$*" = "cat licensesync.service" ] && {cat}',
        "systemd-run": "printf '%s\\n' \"$@\"; exit 3",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(UNITS / "licensesync.sh"), "explain", "two words"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    told = ran.stdout.splitlines()
    assert (ran.returncode, ran.stderr) == (3, "")
    assert told[-3:] == ["/opt/licensesync/bin/licensesync", "explain", "two words"]
    assert "--property=User=licensesync" in told
    assert "--property=StateDirectory=licensesync" in told
    plain, encrypted = (
        told.index(f"--property=LoadCredential{kind}=thingspace-key:licensesync.thingspace-key")
        for kind in ("", "Encrypted")
    )
    assert plain < encrypted
    assert not [each for each in told if "ExecStart" in each or "Watchdog" in each]

"""Runs programs as processes of their own and tells what they cost: time, CPU, peak memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = "0642233522-00001"
PAGE = 1000
LONGEST = 900.0  # seconds that any one process may take
PROGRAMS = Path(__file__).with_name("programs")
_TICKS = os.sysconf("SC_CLK_TCK")
_CREDENTIALS = {
    "THINGSPACE_KEY": "key",
    "THINGSPACE_SECRET": "secret",
    "THINGSPACE_USERNAME": "user",
    "THINGSPACE_PASSWORD": "password",
}


@dataclass(frozen=True)
class Ended:
    """What a process has cost: seconds by the clock, seconds of CPU (user and system), most megabytes at once."""

    code: int
    wall: float
    cpu: float
    peak: float
    out: Path
    err: Path

    @property
    def document(self) -> Any:
        return json.loads(self.out.read_bytes())


def environ() -> dict[str, str]:
    """This environment with credentials, and without what would lead the program elsewhere or slow it down."""
    ours = ("THINGSPACE_", "CALLBACK_", "LICENSESYNC_", "CREDENTIALS_DIRECTORY", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | _CREDENTIALS


def run(command: Sequence[str], folder: Path, *, codes: Sequence[int] = (0,)) -> Ended:
    """A program from its start to its end; one that ends with another code than these is an error."""
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as its_out, err.open("wb") as its_err:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environ(), stdin=subprocess.DEVNULL, stdout=its_out, stderr=its_err
        )
        code, cpu, peak = waited_for(process, LONGEST)
        wall = time.perf_counter() - began
    if code not in codes:
        last = err.read_bytes()[-2000:].decode(errors="replace")
        raise SystemExit(f"{' '.join(command)} has ended with {code}:\n{last}")
    return Ended(code, wall, cpu, peak, out, err)


def licensesync(folder: Path, *arguments: str, codes: Sequence[int] = (0,)) -> Ended:
    """`licensesync` with these arguments, in the folder of its settings."""
    return run([sys.executable, "-m", "licensesync", *arguments], folder, codes=codes)


def program(folder: Path, name: str, *arguments: object) -> Ended:
    """One of this benchmark's own programs."""
    return run([sys.executable, str(PROGRAMS / f"{name}.py"), *map(str, arguments)], folder)


def waited_for(process: subprocess.Popen[bytes], longest: float) -> tuple[int, float, float]:
    """Its exit code, seconds of CPU and peak of memory in MB; it is killed when its time is over."""
    clock = threading.Timer(longest, process.kill)
    clock.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        clock.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


@dataclass(frozen=True)
class Simulator:
    """A simulator that runs, and what it has cost so far."""

    url: str
    pid: int
    at_start: float

    @property
    def cpu(self) -> float:
        """Seconds of CPU since it listens."""
        return cpu_of(self.pid) - self.at_start


@contextmanager
def simulator(holders: int, licenses: int, latency: float) -> Iterator[Simulator]:
    """A kind simulator with so many generated holders, until the block ends."""
    options: Mapping[str, object] = {
        "--devices": holders,
        "--licenses": licenses,
        "--page-size": PAGE,
        "--latency": latency,
        "--quirk": "profile=sdk-v3",
        "--stop-after": 3 * LONGEST,
    }
    command = [sys.executable, "-m", "licensesync", "simulate", "--kind", "--account", ACCOUNT]
    command += [str(word) for option in options.items() for word in option]
    with subprocess.Popen(command, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            yield Simulator(url, process.pid, cpu_of(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a running process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(pid: int) -> tuple[float, float]:
    """Megabytes that a running process has in memory, now and at most so far."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most

"""What it costs to load and check an inventory, beside PyYAML's C parser alone and its loader."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from way.bench import FORMS, REPEATS, Bench, Row
from way.processes import Ended, licensesync, program, run

EVENTS = """
import sys
from yaml.cyaml import CParser
with open(sys.argv[1], 'rb') as file:
    parser = CParser(file)
    while parser.get_event():
        pass
"""
LOADER = "import sys, yaml; yaml.load(open(sys.argv[1], 'rb'), yaml.CSafeLoader)"


def checks(bench: Bench, devices: int) -> Iterator[Row]:
    """`check`, the event stream and the loader, each a process, on the same file."""
    for form in FORMS:
        inventory = bench.inventory(devices, form)
        with bench.home("http://127.0.0.1:9", inventory) as home:
            turns = [(licensesync(home, "check"), *_alone(home, EVENTS, inventory, form)) for _ in range(REPEATS)]
            checked, *alone = zip(*turns, strict=True)
            yield _row(devices, form, "licensesync check", checked)
            if not alone:
                continue
            (events,) = alone
            yield _row(devices, form, "the C parser's events alone", events)
            long = form == "mappings" and devices > 200_000
            loaded = [each for _ in range(1 if long else REPEATS) for each in _alone(home, LOADER, inventory, form)]
            yield _row(devices, form, "yaml.CSafeLoader alone", loaded)
            bench.known[f"loader {form} {devices}"] = _least(loaded)
            bench.promise(f"d: check / events, {form}: CPU", devices, _least(checked) / _least(events), 1.5)


def stages(bench: Bench, devices: int) -> Iterator[Row]:
    """The stages between reading and sending, inside one process: seconds of CPU, for so many per cent of changes."""
    inventory = bench.inventory(devices)
    with bench.home("http://127.0.0.1:9", inventory) as home:
        for told in program(home, "stages", inventory, devices).document:
            yield {"devices": devices, **told}


def _alone(home: Path, program: str, inventory: Path, form: str) -> list[Ended]:
    """What a parser of YAML alone costs, where the inventory is for one."""
    return [] if form == "csv" else [run([sys.executable, "-c", program, str(inventory)], home)]


def _least(processes: Sequence[Ended]) -> float:
    return min(each.cpu for each in processes)


def _row(devices: int, form: str, what: str, processes: Sequence[Ended]) -> Row:
    return {
        "devices": devices,
        "written as": form,
        "process": what,
        "CPU s": _least(processes),
        "wall s": min(each.wall for each in processes),
        "peak MB": max(each.peak for each in processes),
        "of": len(processes),
    }

"""Writes an inventory of the simulator's first devices: write.py FILE DEVICES list|mappings|csv."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from licensesync.simulator.imeis import ImeiSet

FIRST = 35_000_000_000_000
FIRST_ICCID = 89_148_000_000_000_000_000
IN_A_GROUP = 10_000


def main(path: Path, devices: int, form: str) -> None:
    """Devices are dealt to the groups in turn, so that nothing is in the order of identifiers as a whole."""
    imeis = list(ImeiSet(first_body=FIRST, generated=devices))
    groups = max(1, devices // IN_A_GROUP)
    with path.open("w") as file:
        file.write("groups:\n")
        for number in range(groups):
            dealt = range(number, devices, groups)
            name = f"group-{number:04d}"
            file.write(f"  - name: {name}\n    licenses: [fota]\n")
            match form:
                case "csv":
                    file.write(f"    devices_from: {name}.csv\n")
                    _write_csv(path.with_name(f"{name}.csv"), imeis, dealt)
                case "mappings":
                    file.write("    devices:\n")
                    file.writelines(f'      - {{imei: "{imeis[at]}", iccid: "{FIRST_ICCID + at}"}}\n' for at in dealt)
                case _:
                    file.write("    devices:\n")
                    file.writelines(f'      - "{imeis[at]}"\n' for at in dealt)


def _write_csv(path: Path, imeis: Sequence[str], dealt: range) -> None:
    with path.open("w") as file:
        file.write("imei,iccid\n")
        file.writelines(f"{imeis[at]},{FIRST_ICCID + at}\n" for at in dealt)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    print(json.dumps(None))

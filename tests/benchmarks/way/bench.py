"""What the parts share: the folder with the inventories, settings to run with, and the list of budgets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from way.processes import ACCOUNT, program

Cell = str | int | float | bool | None
Row = dict[str, Cell]

FORMS = ("list", "mappings", "csv")
PROMISED = 1_000_000
REPEATS = 4
"""How often what takes seconds is measured: the least CPU is taken; what is compared takes turns."""


@dataclass(frozen=True)
class Budget:
    """What was promised of a figure, and what was measured."""

    budget: str
    devices: int
    measured: float
    limit: float
    meant: bool
    """Whether it was promised of this size; at others the figure is for orientation."""

    @property
    def kept(self) -> bool | None:
        return self.measured <= self.limit if self.meant else None

    def as_row(self) -> Row:
        return {
            "budget": self.budget,
            "devices": self.devices,
            "measured": self.measured,
            "limit": self.limit,
            "kept": self.kept,
        }


@dataclass
class Bench:
    """One run of the benchmark."""

    folder: Path
    budgets: list[Budget] = field(default_factory=list)
    known: dict[str, float] = field(default_factory=dict)
    """Figures of one part that others are held against."""
    _written: set[Path] = field(default_factory=set)

    def promise(self, budget: str, devices: int, measured: float, limit: float, *, of: int = PROMISED) -> None:
        """Hold a figure against its limit, which was promised `of` so many devices."""
        self.budgets.append(Budget(budget, devices, measured, limit, devices >= of))

    def inventory(self, devices: int, form: str = "list") -> Path:
        """An inventory of so many devices, in groups that were dealt like cards; written once."""
        path = self.folder / f"{form}-{devices}" / "inventory.yaml"
        if path not in self._written:
            path.parent.mkdir()
            program(path.parent, "write", path, devices, form)
            self._written.add(path)
        return path

    @contextmanager
    def home(
        self,
        url: str,
        inventory: Path,
        *,
        cursors: int = 8,
        batch: int = 200,
        pool: str = "",
        more: str = "",
    ) -> Iterator[Path]:
        """A folder with settings for one pool, gone at the end."""
        home = Path(mkdtemp(prefix="home-", dir=self.folder))
        (home / "licensesync.yaml").write_text(
            f"thingspace: {{url: '{url}', requests_per_second: 100000, concurrency: {cursors}, batch_size: {batch}}}\n"
            f"inventory: {inventory}\n"
            f"pools: {{fota: {{product: fota, account: '{ACCOUNT}', mode: full{pool}}}}}\n{more}"
        )
        try:
            yield home
        finally:
            shutil.rmtree(home)

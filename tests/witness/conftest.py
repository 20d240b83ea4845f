"""Leaves the witness out where the vendor's SDK is not installed: it is an optional extra."""

from importlib.util import find_spec
from pathlib import Path

if find_spec("verizon"):
    collect_ignore = []
    from witness.witnesses import as_it_says, made, start

    __all__ = ["as_it_says", "made", "start"]
else:
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py")]

"""Leaves the witness out where the vendor's SDK is not installed: it is an optional extra."""

from importlib.util import find_spec

if find_spec("verizon"):
    collect_ignore = []
    from witness.witnesses import start

    __all__ = ["start"]
else:
    collect_ignore = ["test_sdk.py", "test_sdk_sim_secure.py"]

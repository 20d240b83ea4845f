"""What the settings say of pools: whose licenses of which product, and how far they may be reconciled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, assert_never

from licensesync.located import Node, Table, Text
from licensesync.model import Limits, Mode, Place, Pool, Product
from licensesync.problems import Problems, printable, shown
from licensesync.values import FLAG, Section, choice, decimal, section, span, whole, worded
from licensesync.values import read as read_scalar

Licenses = tuple[Product, str, str]

PRODUCT: Final = choice(Product)
MODE: Final = choice(Mode)
COUNT: Final = whole(0)
PERCENT: Final = decimal(100)
REREAD: Final = span()
LONGEST_NAME: Final = 64
POOL_NAME: Final = worded("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "write letters, digits, '-', '_' and '.'")
ACCOUNT: Final = worded(
    "[0-9]{4,}-[0-9]+|[0-9]+", 'write the account as ThingSpace shows it, such as "0642233522-00001"', numeric=True
)
SKU: Final = worded("[A-Za-z0-9][A-Za-z0-9._-]*", "write the SKU as Verizon does, such as SIMSec-IoT")
REVOCABLE: Final[Mapping[str, bool]] = {
    "SIMSec-IoT-Lt": False,
    "SIMSec-IoT": True,
    "TS-BUNDLE-KTO-SIMSEC-MRC": True,
    "TSS-IOT-INTLG-TIERED-SIMSEC": True,
}
"""The SKUs that Verizon documents, and whether their licenses can be taken back: a lifetime license cannot.

https://thingspace.verizon.com/documentation/api-documentation.html (security: SIM-Secure licenses)
"""


def read(node: Node, problems: Problems) -> Mapping[str, Pool] | None:
    """The pools by name, in the order of the settings; with problems, as far as they can be told."""
    named = section(node, problems, "pools")
    if not named:
        return None
    if not named.table.values:
        problems.add(node.place, "there are no pools", "write at least one, such as fota: {product: fota, …}")
    pools: dict[str, Pool] = {}
    places: dict[Licenses, tuple[str, Place]] = {}
    for name, key in named.table.keys.items():
        pools[name] = _pool(key, named.table.values[name], problems)
        _report_rival(pools[name], key.place, places, problems)
    return pools


def _pool(key: Text, node: Node, problems: Problems) -> Pool:
    name = read_scalar(key, POOL_NAME, problems, "the name", printable(key.value[:LONGEST_NAME]))
    written = section(node, problems, f"pool {shown(name)}")
    if not written:
        return Pool(name, Product.FOTA, "", Mode.ADD_ONLY)
    sku, revocable = _sku(written), written.get("revocable", FLAG, None)
    tolerance, reread = _reading(written.section("reading"))
    pool = Pool(
        name,
        written.require("product", PRODUCT, Product.FOTA),
        written.require("account", ACCOUNT, ""),
        written.require("mode", MODE, Mode.ADD_ONLY),
        _limits(written.section("removals")),
        tolerance,
        sku,
        written.get("others", COUNT, 0),
        irrevocable=sku is not None and not REVOCABLE.get(sku, revocable),
        reread=reread,
    )
    _report_misfits(pool, written)
    _report_doubtful_sku(pool, revocable, written)
    written.close()
    return pool


def _sku(written: Section) -> str | None:
    """The SKU, spelled as Verizon does where it documents it."""
    sku = written.get("sku", SKU, None)
    return next((known for known in REVOCABLE if sku and known.casefold() == sku.casefold()), sku)


def _limits(removals: Section | None) -> Limits:
    default = Limits()
    if not removals:
        return default
    limits = Limits(
        removals.get("count", COUNT, default.count),
        removals.get("percent", PERCENT, default.percent),
        removals.get("per_day", COUNT, default.per_day),
    )
    removals.close()
    return limits


def _reading(reading: Section | None) -> tuple[int, timedelta | None]:
    """When a reading is whole, and for how long one may do."""
    if not reading:
        return 0, None
    asked = reading.get("tolerance", COUNT, 0), reading.get("reread", REREAD, None)
    reading.close()
    return asked


def _report_misfits(pool: Pool, written: Section) -> None:
    """Reports what does not go with the product."""
    match pool.product:
        case Product.FOTA:
            for key in ("sku", "others", "revocable"):
                if key in written:
                    message = f"{key} is only for pools of {Product.SIM_SECURE}"
                    written.problems.add(written.table.keys[key].place, message, "remove it")
        case Product.SIM_SECURE:
            if "sku" not in written:
                written.problems.add(
                    written.table.place, f"{written.name} has no sku", SKU.hint.replace("write", "add sku:", 1)
                )
            if pool.mode is Mode.FULL:
                message = f"mode {Mode.FULL} needs a list of who holds a license, which {pool.product} has not"
                hint = f"write {Mode.ADD_ONLY} or {Mode.MANAGED}"
                written.problems.add(written.place("mode"), message, hint)
            _report_reread(written)
        case _:
            assert_never(pool.product)


def _report_reread(written: Section) -> None:
    reading = written.node("reading")
    if isinstance(reading, Table) and (key := reading.keys.get("reread")):
        message = (
            f"reread is only for pools of {Product.FOTA}: to read one of {Product.SIM_SECURE} is one request anyhow"
        )
        written.problems.add(key.place, message, "remove it")


def _report_doubtful_sku(pool: Pool, revocable: bool | None, written: Section) -> None:  # noqa: FBT001  # as written
    """Reports a SKU of which nobody says whether its licenses can be taken back, or of which that is said wrongly."""
    if pool.product is not Product.SIM_SECURE or pool.sku is None:
        return
    documented = REVOCABLE.get(pool.sku)
    if documented is None and "revocable" not in written:
        message = f"SKU {shown(pool.sku)} is not one that Verizon documents ({', '.join(REVOCABLE)})"
        hint = "write one of these, or add revocable: true or false: whether its licenses can be taken back"
        written.problems.add(written.place("sku"), message, hint)
    elif documented is not None and revocable not in {None, documented}:
        can = "can" if documented else "can never"
        message = f"revocable contradicts Verizon, by whom licenses of {pool.sku} {can} be taken back"
        written.problems.add(written.place("revocable"), message, f"write {str(documented).lower()}, or remove it")


def _report_rival(pool: Pool, place: Place, places: dict[Licenses, tuple[str, Place]], problems: Problems) -> None:
    """Reports a pool of the same licenses as an earlier one: they would undo each other's work."""
    if not pool.account:
        return
    licenses = pool.product, pool.account, (pool.sku or "").casefold()
    rival, where = places.setdefault(licenses, (pool.name, place))
    if rival != pool.name:
        message = f"pool {shown(pool.name)} is of the same licenses as pool {shown(rival)} at {where}"
        problems.add(place, message, "keep one of the two")

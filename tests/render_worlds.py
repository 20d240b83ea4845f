"""Plans and reports to render: by hand, and any that hypothesis can think of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from licensesync.model import (
    Action,
    Capacity,
    DeviceId,
    Held,
    HeldReason,
    InventoryInfo,
    Mode,
    Outcome,
    OutcomeKind,
    OutcomeReason,
    Place,
    Plan,
    Pool,
    PoolReport,
    Product,
    Reading,
    Refusal,
    Report,
    Rule,
    RunPlan,
    Unread,
    Verb,
)

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
FOTA = Pool("fota", Product.FOTA, "0642233522-00001", Mode.FULL)
SIM = Pool("sim", Product.SIM_SECURE, "0642233522-00001", Mode.MANAGED, sku="SIMSec-IoT")
INVENTORY = InventoryInfo(devices=1234, digest=f"sha256:{'ab' * 32}", commit="c0ffee" * 6, dirty=False)
REFUSAL = Refusal(Rule.PERCENT, 10, 99, 400, "3f9ac1d25be07a44" + "0" * 48, "approve it in the inventory")
RESTING = Plan(
    replace(FOTA, reread=timedelta(hours=6)),
    Capacity(9000, 998),
    held=(Held(Action(Verb.REMOVE, DeviceId("990000000000009")), HeldReason.PROTECTED),),
    kept=997,
    rests_on=NOW - timedelta(hours=2, minutes=30),
)
HOSTILE = (
    "\033[31mred\033[0m",
    "\x9b31m\x85\u2028\u202e",
    "a|b||c",
    "`code` ``",
    "<script>alert(1)</script>",
    "</details></summary>",
    "<!-- -->",
    "@someone and @an-org/team",
    "user@example.com",
    "#12 and # 13",
    "!12 GH-12 &12 $12 ~bug %1.0 *iteration:12 [vulnerability:12] ^alert#12",
    "[text](https://evil.example)",
    "![image](x)",
    "https://evil.example/x www.evil.example",
    "one\n\n# two\n- three\r\n---",
    "**bold** __bold__ _it_ a_b *it* ~~no~~",
    "$x$ \\| \\\\ &lt; &#64;",
    "世界" * 60,
    "x" * 300,
    "\ud800 not text",
)


def assign(number: int, group: str | None = "chicago-meters") -> Action:
    """The assignment that the line of this number asks for."""
    return Action(Verb.ASSIGN, imei(number), group, Place("inventory/chicago.yaml", number + 1, 9))


def remove(number: int) -> Action:
    return Action(Verb.REMOVE, imei(number))


def imei(number: int) -> DeviceId:
    return DeviceId(f"{990_000_000_000_000 + number}")


def sim(number: int) -> DeviceId:
    return DeviceId(f"{imei(number)}/{89_148_000_001_234_500_000 + number}")


def outcome(action: Action, kind: OutcomeKind, service: str | None = None) -> Outcome:
    return Outcome(action, kind, NOW, None if kind is OutcomeKind.DONE else OutcomeReason.REJECTED_BY_SERVICE, service)


def run_plan(*pools: Plan | Unread) -> RunPlan:
    return RunPlan(INVENTORY, NOW, pools)


def run_report(*pools: PoolReport) -> Report:
    return Report("01K3", run_plan(*(pool.plan for pool in pools)), pools, NOW + timedelta(seconds=9))


texts = st.sampled_from(HOSTILE) | st.text(st.characters(), max_size=40)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-5))])
times = st.builds(datetime.fromtimestamp, st.floats(0, 4_000_000_000), zones)
places = st.builds(Place, texts, st.integers(1, 10**6), st.integers(1, 200))
pools = st.sampled_from([FOTA, SIM]) | st.builds(
    Pool,
    st.text(max_size=40) | st.sampled_from(HOSTILE[:-1]),
    st.sampled_from(Product),
    st.just("0642233522-00001"),
    st.sampled_from(Mode),
    sku=st.none() | st.sampled_from(HOSTILE[:-1]),
)
actions = st.builds(
    Action,
    st.sampled_from(Verb),
    st.integers(0, 10**6).map(imei) | st.integers(0, 10**6).map(sim),
    st.none() | texts,
    st.none() | places,
)
held = st.builds(Held, actions, st.sampled_from(HeldReason), st.none() | times)
refusals = st.builds(
    Refusal,
    st.sampled_from(Rule),
    st.none() | st.integers(0, 10**6) | st.floats(0, 100),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.just(REFUSAL.digest),
    texts,
)
plans = st.builds(
    Plan,
    pools,
    st.builds(Capacity, st.integers(0, 10**6), st.integers(0, 10**6)),
    st.lists(actions, max_size=30).map(tuple),
    st.lists(held, max_size=30).map(tuple),
    kept=st.integers(0, 10**6),
    foreign=st.integers(0, 10**6),
    refusal=st.none() | refusals,
)
resting = st.builds(lambda plan, at: replace(plan, actions=(), refusal=None, rests_on=at), plans, times)
unread = st.builds(Unread, pools, st.sampled_from([Reading.PARTIAL, Reading.UNREAD]), texts)
run_plans = st.builds(
    RunPlan,
    st.builds(InventoryInfo, st.integers(0, 10**6), st.just(INVENTORY.digest), st.none() | st.text(), st.booleans()),
    times,
    st.lists(plans | resting | unread, max_size=4).map(tuple),
)
outcomes = st.builds(
    Outcome,
    actions,
    st.sampled_from(OutcomeKind),
    times,
    st.none() | st.sampled_from(OutcomeReason),
    st.none() | texts,
)
pool_reports = st.builds(PoolReport, plans, st.lists(outcomes, max_size=30).map(tuple)) | st.builds(PoolReport, unread)
reports = st.lists(pool_reports, max_size=4).map(lambda pools: run_report(*pools))

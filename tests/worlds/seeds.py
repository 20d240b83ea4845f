"""Draws stories: the same seed draws the same one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from licensesync.model import Mode
from worlds.story import (
    DAY,
    HOUR,
    Approval,
    Beginning,
    Bought,
    ClockSet,
    Edit,
    Event,
    Fortune,
    Others,
    Password,
    Purchase,
    Restart,
    Run,
    Step,
    Story,
    Trouble,
    Wait,
    Wish,
)

Chance = random.Random


def _some(most: float, where: str = "") -> Callable[[Chance], str]:
    return lambda chance: f"{chance.uniform(0.05, most):.2f}{where}"


def _one(*words: str) -> Callable[[Chance], str]:
    return lambda chance: chance.choice(words)


_SIM = "sim-assign+sim-unassign"

QUIRKS: Final[Mapping[str, Callable[[Chance], str]]] = {
    "bearer-lifetime": _one("7", "20", "300"),
    "bearer-remainder": _one("1", "6"),
    "bearer-dies": _some(0.3, "@all"),
    "session-lifetime": _one("1", "3", "10"),
    "session-dies": _some(0.3, "@all"),
    "session-form": _one("fota", "uws", "common"),
    "session-kept-by-fota": _one("off"),
    "one-session": _one("on"),
    "login-hiccup": _some(0.3),
    "error-503": _some(0.4, "@all"),
    "error-500": _some(0.3, "@all"),
    "error-502": _some(0.3, "@fota"),
    "error-429": _some(0.3, "@all"),
    "retry-after": _one("date", "absent", "mixed"),
    "retry-after-429": _one("1", "90", "900"),
    "forbidden": _some(0.1, "@fota"),
    "gateway-shape": _one("fault", "html", "empty", "xml"),
    "account-trouble": _one("inactive", "not-found", "broken"),
    "status-form": _one("path", "query"),
    "subscription-call": _one("503", "fieldless"),
    "lookup-call": _one("503", "fieldless"),
    "lookup-filter": _one("on"),
    "lookup-rows-lost": _some(0.5, "@lookup"),
    "cursor-at-end": _one("last", "zero", "absent"),
    "page-order": _one("text", "backwards", "scrambled"),
    "cursor-form": _one("rows"),
    "cursor-check": _one("licensed", "lenient"),
    "wrong-account": _some(0.2),
    "assigned-off-by": _one("+1", "-1"),
    "assigned-drifts": _one("+1", "-1"),
    "counts-absent": _one("total", "assigned"),
    "repeated-cursor": _some(0.3),
    "empty-page": _some(0.3),
    "last-page-lost": _some(0.5),
    "rows-lost": _some(0.2),
    "rows-doubled": _some(0.3),
    "wrong-types": _one("imei-number", "imei-null", "bare-rows", "list-object", "counts-text", "array"),
    "over-allocation": _one("whole"),
    "unknown-answer": _one("whole", "does-not-exist"),
    "upgrade-pending": _some(0.3),
    "pending-takes": _one("5", "3600"),
    "odd-status": _some(0.3),
    "write-rows-lost": _some(0.3),
    "false-failure": _some(0.3),
    "rows-contradict": _some(0.3),
    "extra-rows": _one("1", "3"),
    "lost-before-effect": _some(0.4, "@all"),
    "lost-after-effect": _some(0.4, "@all"),
    "lost-late-effect": _some(0.4),
    "late-effect": _one("1", "40"),
    "error-500-after-effect": _some(0.4),
    "cut-off": _some(0.3, "@all"),
    "truncated-json": _some(0.3, "@all"),
    "html-200": _some(0.2, "@all"),
    "empty-200": _some(0.2, "@all"),
    "delayed": _some(0.3, "@all"),
    "delay": _one("2", "45"),
    "others-in-walk": _one("+1@1", "-1@1", "+2@2*"),
    "others-before-write": _one("+1", "-1"),
    "callback-lost": _some(0.5),
    "callback-doubled": _some(0.6),
    "callback-late": _some(0.5),
    "callback-lateness": _one("2", "8"),
    "callback-early": _some(0.5),
    "callback-order": _one("shuffled"),
    "callback-failed": _some(0.3),
    "callback-contradicts": _some(0.3),
    "callback-forged": _some(0.6),
    "callback-foreign": _some(0.5),
    "callback-other-sku": _some(0.5),
    "callback-ids": _one("iccid-only", "imei-only"),
    "sim-batches": _one("whole", "mixed"),
    "sim-room": _one("new"),
    "sim-takes": _one("0.2", "1", "5"),
    "pending-counts": _one("assigned", "free"),
    "login-rejected": _one("1x", "2x"),
}
"""What may go wrong at the service. What it does without any sign of it cannot be known by anybody: it is left out."""

RARE: Final = frozenset({"login-rejected", "account-trouble", "callback-contradicts"})


def drawn(seed: int) -> Story:
    """The story of a seed."""
    chance = Chance(f"world {seed}")
    beginning = _beginning(chance)
    if special := _SPECIAL.get(seed % 80):
        begins, events_of_it = special
        return Story(seed, begins(beginning), events_of_it)
    edit, *events = _events(chance, beginning)
    first = _APPROVED_TOO_LONG_AGO if seed % 20 == 0 else ()
    return Story(seed, beginning, (edit, *first, *events))


_APPROVED_TOO_LONG_AGO: Final = (Run(), Approval(until=1), Wait(2 * DAY), Run())
"""Where the first run is refused, the second must be too: chance seldom puts these in a row."""

_TOLD_LIES: Final = (
    Fortune(dict.fromkeys(("callback-failed", "callback-lost", "callback-forged", "callback-other-sku"), "on")),
    Edit(sim=tuple(map(Wish, range(9)))),
    Run(),
)
"""Nobody gets a license, and only those say otherwise who know no password, or speak of another SKU."""

_TOLD_BOTH: Final = (Fortune(dict.fromkeys(("callback-failed", "callback-contradicts"), "on")), *_TOLD_LIES[1:])
"""Nobody gets a license, and the service says first so, and then the contrary."""

_UNTIL_TOMORROW: Final = (
    Edit(fota=(Wish(0), Wish(1), Wish(2, until=1))),
    Run(),
    Wait(14.5 * HOUR),
    Run(),
    Wait(HOUR),
    Run(),
)
"""What was in step before midnight is not any more, though nothing has changed at the service since it was read."""

_MANY, _FEWER, _FEWEST = (Edit(sim=tuple(map(Wish, range(devices)))) for devices in (9, 6, 3))
_REMOVED_UNHEARD: Final = (_MANY, Run(), Fortune({"callback-lost": "on"}), _FEWER, Run(), _FEWEST, Run())
"""Three lose a license, which nobody is told; three more would be too many for a day."""


_SWAPPED: Final = (Fortune(locked=(0,)), Edit(fota=tuple(map(Wish, (3, 4, 5)))), Run())
"""Three shall follow three others, of whom one is locked and keeps its license: so one of the three has to wait."""


def _full(beginning: Beginning) -> Beginning:
    begun = replace(beginning, count=100, percent=100, per_day=100, mode=Mode.FULL)
    return replace(begun, devices=max(6, beginning.devices), licenses=3, held=(0, 1, 2), sim=None)


def _read_seldom(beginning: Beginning) -> Beginning:
    return replace(_full(beginning), reread=True)


def _of_few_removals(beginning: Beginning) -> Beginning:
    devices = max(9, beginning.devices)
    bought = Bought(licenses=devices, others=0, held=(), lifetime=False, mode=Mode.MANAGED)
    return replace(beginning, devices=devices, mode=None, sim=bought, count=100, percent=100, per_day=3)


_SPECIAL: Final[Mapping[int, tuple[Callable[[Beginning], Beginning], tuple[Event, ...]]]] = {
    5: (_of_few_removals, _TOLD_LIES),
    10: (_of_few_removals, _REMOVED_UNHEARD),
    15: (_read_seldom, _UNTIL_TOMORROW),
    25: (_of_few_removals, _TOLD_BOTH),
    30: (_full, _SWAPPED),
}
"""Where chance seldom leads: these are one in sixteen, by what is left of their seeds."""


def _beginning(chance: Chance) -> Beginning:
    devices = chance.choice([3, 5, 8, 12])
    licenses = chance.choice([devices, devices + 5, chance.randrange(1, devices + 1)])
    most = min(licenses, devices)
    held = chance.sample(range(devices), chance.choice([most, chance.randrange(most + 1)]))
    product = chance.choice(["fota", "fota", "fota", "fota", "sim", "both"])
    return Beginning(
        devices=devices,
        licenses=licenses,
        held=tuple(sorted(held)),
        mode=None if product == "sim" else chance.choice([Mode.FULL, Mode.FULL, Mode.MANAGED, Mode.ADD_ONLY]),
        count=chance.choice([2, 5, 100, 100]),
        percent=chance.choice([10, 50, 100, 100]),
        per_day=chance.choice([3, 5, 200, 200]),
        page_size=chance.choice([2, 3, 7, 50]),
        batch_size=chance.choice([1, 2, 4, 50]),
        concurrency=chance.choice([1, 2, 4]),
        reread=chance.random() < 0.3,
        latency=chance.choice([0.01, 0.2, 1.0]),
        sim=None if product == "fota" else _bought(chance, devices),
    )


def _bought(chance: Chance, devices: int) -> Bought:
    others = chance.choice([0, 0, 2])
    ours = chance.choice([devices, chance.randrange(1, devices + 1)])
    held = chance.sample(range(devices), chance.choice([0, chance.randrange(ours + 1)]))
    return Bought(
        licenses=others + ours,
        others=others,
        held=tuple(sorted(held)),
        lifetime=chance.random() < 0.2,
        mode=chance.choice([Mode.MANAGED, Mode.MANAGED, Mode.ADD_ONLY]),
    )


def _events(chance: Chance, beginning: Beginning) -> Iterator[Event]:
    edit, shrinks = _edit(chance, beginning), chance.random() < 0.15
    yield edit
    if shrinks or chance.random() < 0.2:
        yield Run()
    for _ in range(chance.choice([2, 3] if shrinks else [1, 1, 1, 1, 1, 2])):
        if chance.random() < 0.8:
            yield _fortune(chance, beginning)
        if shrinks or chance.random() < 0.5:
            edit = _edited(chance, beginning, edit, shrinks=shrinks)
            yield edit
        for _ in range(chance.choice([0, 0, 1, 1, 2])):
            happening = chance.choice(_HAPPENINGS)(chance, beginning)
            yield happening
            if happening == Password(known=False):  # as a service does until somebody looks
                yield from (Run(), Run(apply=True), Restart(), Run())
        yield _run(chance, beginning)


def _edit(chance: Chance, beginning: Beginning) -> Edit:
    numbers = range(beginning.devices)
    protected = chance.sample(numbers, chance.choice([0, 0, 0, 1, 2]))
    return Edit(
        fota=_wanted(chance, beginning) if beginning.mode else (),
        sim=_wanted(chance, beginning) if beginning.sim else (),
        protected={device: chance.choice([None, 1, 3]) for device in protected},
        bold=chance.random() < 0.1,
    )


def _edited(chance: Chance, beginning: Beginning, edit: Edit, *, shrinks: bool) -> Edit:
    """Another inventory, or the same with a few devices less, and perhaps some more."""
    if not shrinks and chance.random() < 0.4:
        return _edit(chance, beginning)
    new = () if shrinks else range(beginning.devices)
    return replace(edit, fota=_changed(chance, edit.fota, new), sim=_changed(chance, edit.sim, new))


def _changed(chance: Chance, wishes: tuple[Wish, ...], new: Sequence[int]) -> tuple[Wish, ...]:
    kept = chance.sample(wishes, max(0, len(wishes) - chance.randrange(4)))
    named = {wish.device for wish in wishes}
    others = [device for device in new if wishes and device not in named]
    come = chance.sample(others, min(len(others), chance.choice([0, 0, 1, 3])))
    return (*(wish for wish in wishes if wish in kept), *(Wish(device, chance.choice([0, 5, 10])) for device in come))


def _wanted(chance: Chance, beginning: Beginning) -> tuple[Wish, ...]:
    most = chance.choice([0, 1, *[beginning.devices] * 6])
    wanted = chance.sample(range(beginning.devices), chance.randrange(most + 1))
    ends = chance.random() < 0.2
    return tuple(
        Wish(device, chance.choice([0, 0, 5, 10]), chance.choice([1, 2]) if ends and chance.random() < 0.5 else None)
        for device in wanted
    )


def _fortune(chance: Chance, beginning: Beginning) -> Fortune:
    names = [name for name in QUIRKS if _is_felt(name, beginning) and (name not in RARE or chance.random() < 0.15)]
    chosen = chance.sample(names, chance.choice([1, 1, 2, 3, 4, 6]))
    quirks = {name: QUIRKS[name](chance) for name in chosen}
    if chance.random() < 0.15:  # neither an answer nor a look-up
        quirks |= {"lost-after-effect": "0.6@writes", "lookup-call": chance.choice(["503", "fieldless"])}
    odd = [chance.sample(range(beginning.devices), chance.choice([0, 0, 0, 1])) for _ in range(2)]
    locked, unknown = map(tuple, odd)
    return Fortune(quirks, locked, unknown, chance.random() < 0.1)


def _is_felt(quirk: str, beginning: Beginning) -> bool:
    """Whether a pool of this story can have it."""
    return beginning.sim is not None if quirk.startswith(("callback-", "sim-", "pending-counts")) else True


def _others(chance: Chance, beginning: Beginning) -> Others:
    return Others(*_changes(chance, beginning), sims=chance.choice([0, 0, 0, 1, -1]) if beginning.sim else 0)


_HAPPENINGS: Final[tuple[Callable[[Chance, Beginning], Event], ...]] = (
    *[_others] * 3,
    *[lambda chance, _: Wait(chance.choice([60, HOUR, 6 * HOUR, DAY, 3 * DAY]))] * 3,
    *[lambda chance, _: Approval(chance.choice([None, None, 1, 3]))] * 2,
    lambda chance, beginning: Purchase(max(1, beginning.licenses + chance.randrange(-3, 4))),
    lambda chance, _: ClockSet(chance.choice([-DAY, -HOUR, -60.0, 60.0, HOUR, 2 * DAY])),
    lambda _, __: Restart(),
    lambda chance, _: Password(known=chance.random() < 0.5),
)


def _changes(chance: Chance, beginning: Beginning) -> tuple[tuple[int, ...], tuple[int, ...]]:
    gives, takes = (chance.sample(range(beginning.devices), chance.choice([0, 1, 2])) for _ in range(2))
    return tuple(gives), tuple(takes)


def _run(chance: Chance, beginning: Beginning) -> Run:
    return Run(
        apply=chance.random() < 0.3,
        removals=chance.random() < 0.9,
        allows=chance.random() < 0.2,
        waits=chance.random() < 0.8,
        troubles=tuple(_troubles(chance, beginning)),
    )


def _troubles(chance: Chance, beginning: Beginning) -> Iterator[Trouble]:
    """Steps of a run: a login has four, a page two, each batch six."""
    for _ in range(chance.choice([0, 1, 1, 2])):
        step = chance.choice([Step.KILL, Step.KILL, Step.KILL, *Step])
        at = chance.choice([chance.randrange(1, 12), chance.randrange(5, 40)])
        if step is Step.MEDDLE:
            yield Trouble(at, step, *_changes(chance, beginning))
        elif step is Step.CLOCK:
            yield Trouble(at, step, ahead=chance.choice([-DAY, -HOUR, 60.0, 2 * DAY]))
        else:
            yield Trouble(at, step)

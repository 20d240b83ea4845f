"""Plans as comments on pull requests."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
import render_worlds as worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from licensesync.model import (
    Action,
    Capacity,
    Held,
    HeldReason,
    InventoryInfo,
    Place,
    Plan,
    Pool,
    Reading,
    Refusal,
    Rule,
    RunPlan,
    Unread,
    Verb,
)
from licensesync.render import markdown as render
from licensesync.render.words import clean

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NO_WIDTH = "\u200b"
OUR_TOKENS = {
    *(f"{block}_{end}" for block in ("heading", "paragraph", "blockquote", "strong") for end in ("open", "close")),
    *(f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")),
    *("inline", "text", "text_special", "code_inline", "html_block"),
}
OUR_HTML = re.compile(r"(<details><summary>[0-9]+ [a-z -]+[^<>]*</summary>|</details>)\n?")


def fota(
    *actions: Action, held: tuple[Held, ...] = (), refusal: Refusal | None = None, pool: Pool = worlds.FOTA
) -> Plan:
    return Plan(pool, Capacity(9000, 998), actions, held, kept=990, foreign=4, refusal=refusal)


def comment(*pools: Plan | Unread) -> str:
    return render.plan(worlds.run_plan(*pools))


def tokens(parsed: Iterable[Token]) -> Iterator[Token]:
    for token in parsed:
        yield token
        yield from token.children or []


def cells(written: str) -> list[str]:
    """What a reader sees in the cells of all tables."""
    found = READER.parse(written)
    inside = [after for before, after in pairwise(found) if before.type == "td_open"]
    return ["".join(child.content for child in cell.children or []).replace(NO_WIDTH, "") for cell in inside]


def test_a_pool_that_was_not_read_anew_says_on_which_reading_it_rests() -> None:
    sentence = "rests on the whole reading of 2026-11-22 12:30 UTC (reread: 6h); counts are unchanged since"
    assert sentence in comment(worlds.RESTING).splitlines()


def test_a_comment_starts_with_verdict_counts_and_hash() -> None:
    run_plan = worlds.run_plan(fota(worlds.remove(7), worlds.assign(1)))
    assert (
        render.plan(run_plan)
        == f"""\
### licensesync plan: changes

**changes: 1 to remove, 1 to assign**

plan `{run_plan.hash}`, inventory of 1234 devices, commit c0ffeec0ffeec0ffeec0ffeec0ffeec0ffee

| pool | verdict | to remove | to assign | held | kept | foreign | licenses | assigned | free | waiting |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| fota | changes | 1 | 1 | 0 | 990 | 4 | 9000 | 998 → 998 | 8002 → 8002 | 0 |

#### fota: changes

fota, account 0642233522-00001, mode full

**1 to remove**

| device | group | place |
|---|---|---|
| 990000000000007 |  | not in the inventory |

**1 to assign**

| device | group | place |
|---|---|---|
| 990000000000001 | chicago-meters | inventory/chicago.yaml:2:9 |
"""
    )


def test_a_pool_in_step_is_a_row_in_the_table_and_nothing_more() -> None:
    written = comment(fota())
    assert "| fota | in-step |" in written
    assert "####" not in written


def test_the_most_urgent_pools_stand_first() -> None:
    written = comment(
        fota(worlds.assign(1), pool=Pool("third", *POOL)),
        fota(refusal=worlds.REFUSAL, pool=Pool("second", *POOL)),
        Unread(Pool("first", *POOL), Reading.UNREAD, "HTTP 403"),
    )
    assert re.findall(r"^#### (\w+)", written, re.MULTILINE) == ["first", "second", "third"]


POOL = (worlds.FOTA.product, worlds.FOTA.account, worlds.FOTA.mode)


def test_removals_stand_before_additions_even_if_they_are_refused() -> None:
    refused = (Held(worlds.remove(7), HeldReason.REFUSED),)
    written = comment(fota(worlds.assign(1), held=refused, refusal=worlds.REFUSAL))
    assert written.index("990000000000007") < written.index("990000000000001")


def test_a_refusal_says_its_rule_hash_and_next_step() -> None:
    written = comment(fota(refusal=worlds.REFUSAL))
    assert (
        """
> 400 removals refused: rule percent (set to 10) allows 99
>
> refusal: 3f9ac1d25be07a44
>
> next step: approve it in the inventory
"""
        in written
    )


def test_an_unread_pool_says_its_problem() -> None:
    written = comment(Unread(worlds.FOTA, Reading.PARTIAL, "page 3 failed"))
    assert "**reading partial**: page 3 failed" in written
    assert "| fota | unread | – |" in written


def test_what_is_held_for_a_time_says_until_when() -> None:
    written = comment(fota(held=(Held(worlds.assign(1), HeldReason.QUARANTINED, worlds.NOW),)))
    assert "| inventory/chicago.yaml:2:9, until 2026-11-22 15:00 UTC |" in written


def test_a_short_list_is_open_and_a_long_one_folded() -> None:
    short = comment(fota(*map(worlds.assign, range(10))))
    long = comment(fota(*map(worlds.assign, range(11))))
    assert "<details>" not in short
    assert "<details><summary>11 to assign</summary>\n\n| device |" in long
    assert long.endswith("|\n\n</details>\n")


def test_a_list_that_is_too_long_for_a_comment_is_cut_with_a_count_of_what_was_left_out() -> None:
    written = comment(fota(*map(worlds.assign, range(100_000))))
    left_out = re.search(r"^… and ([0-9]+) more: \1 of chicago-meters; --format json", written, re.MULTILINE)
    assert left_out
    shown = len(re.findall(r"^\| 99", written, re.MULTILINE))
    assert shown >= 500
    assert shown + int(left_out[1]) == 100_000
    assert len(written) <= render.MAX_LENGTH


def test_what_is_left_out_is_counted_by_group_in_the_order_in_which_they_come() -> None:
    groups = [*(["first"] * 1100), None, *(f"g{number // 10}" for number in range(200_000))]
    written = comment(fota(*(worlds.assign(number, group) for number, group in enumerate(groups))))
    named = ", ".join(f"10 of g{number}" for number in range(8))
    assert f"… and 200101 more: 100 of first, 1 without a group, {named}, 199920 of 19992 other groups; " in written
    assert len(written) <= render.MAX_LENGTH


def test_groups_that_are_shown_whole_are_not_among_those_that_are_left_out() -> None:
    groups = ["shown"] * 500 + ["left"] * 900
    written = comment(fota(*(worlds.assign(number, group) for number, group in enumerate(groups))))
    assert "… and 400 more: 400 of left; " in written


@pytest.mark.parametrize("hostile", worlds.HOSTILE)
def test_a_group_of_devices_that_are_left_out_is_named_and_does_nothing_else(hostile: str) -> None:
    written = comment(fota(*(worlds.assign(number, hostile) for number in range(3000))))
    harmless(written)
    assert re.search(r"^… and [0-9]+ more: [0-9]+ of .", written, re.MULTILINE)
    assert len(written) <= render.MAX_LENGTH


def test_short_lists_stay_whole_beside_a_long_one() -> None:
    written = comment(fota(*map(worlds.remove, range(40)), *map(worlds.assign, range(50_000, 150_000))))
    assert all(worlds.imei(number) in written for number in range(40))


def test_more_pools_than_have_room_are_cut_with_a_count() -> None:
    pools = [Unread(Pool(f"pool-{number}", *POOL), Reading.UNREAD, "x" * 1500) for number in range(300)]
    written = comment(*pools)
    sections = written.count("\n#### ")
    assert 20 <= sections < 300
    assert f"… and {300 - sections} more pools; " in written
    assert "… and 250 more pools; " in written, "of the table"
    assert len(written) <= render.MAX_LENGTH


def test_an_inventory_group_is_shown_as_it_is_written() -> None:
    group = "north_side-2 (old), 50% + {x}: \"a\" 'b' http: a/b.c"
    assert f"| {group} |" in comment(fota(worlds.assign(1, group)))


def test_a_long_name_is_cut_between_characters() -> None:
    written = comment(fota(worlds.assign(1, "@" * 5000)))
    cut = re.search(r"\| ((?:&#64;(?:&#8203;)?)+…) \|", written)
    assert cut
    assert 100 < len(cut[1]) <= 120


def test_a_long_sentence_is_cut() -> None:
    cut = re.search("x+…", comment(Unread(worlds.FOTA, Reading.PARTIAL, "x" * 100_000)))
    assert cut
    assert len(cut[0]) == 2000


@pytest.mark.parametrize("hostile", worlds.HOSTILE)
def test_what_others_wrote_is_shown_and_does_nothing_else(hostile: str) -> None:
    named = hostile.replace("\ud800", "")
    action = Action(Verb.ASSIGN, worlds.imei(1), hostile, Place("a.yaml", 1, 1))
    refusal = Refusal(Rule.COUNT, 1, 1, 2, worlds.REFUSAL.digest, hostile)
    pool = Pool(named, worlds.FOTA.product, named, worlds.FOTA.mode, sku=named)
    written = comment(fota(action, refusal=refusal, pool=pool), Unread(pool, Reading.PARTIAL, hostile))
    harmless(written)
    shown = clean(hostile).strip()
    assert any(cell == shown or (cell.endswith("…") and shown.startswith(cell[:-1])) for cell in cells(written)[22:])


def harmless(written: str) -> None:
    parsed = READER.parse(written)
    for token in tokens(parsed):
        assert token.type in OUR_TOKENS, token
        assert token.type != "html_block" or OUR_HTML.fullmatch(token.content), token
    assert not re.search(r"@\w|#\w|://|www\.", written.replace("&#", "&")), "GitHub would make it a link"
    page = READER.renderer.render(parsed, READER.options, {})
    assert not re.search(r"@[\w-]|#\w|://\w|www\.\w", re.sub(r"<[^<>]*>|&\w+;", "", page)), "the same in the page"
    told = html.unescape(re.sub(r"<[^<>]*>", "", page))
    assert not re.search(r"[!&$~%]\w|GH-\d|\[vulnerability|\*iteration", told), "GitLab has more that leads elsewhere"
    assert "<" not in OUR_HTML.sub("", written)
    assert written.replace("\n", "").replace(NO_WIDTH, "").isprintable()


@worlds.unhurried
@given(worlds.run_plans)
def test_no_plan_can_be_made_that_says_more_than_is_meant(run_plan: RunPlan) -> None:
    written = render.plan(run_plan)
    harmless(written)
    assert len(written) <= render.MAX_LENGTH


@given(
    st.integers(1, 120),
    st.integers(0, 300),
    st.sampled_from([*worlds.HOSTILE, "@" * 5000, "a", "_" * 200]),
    st.sampled_from(HeldReason),
    st.booleans(),
)
@settings(worlds.unhurried, max_examples=settings().max_examples * 5 // 4)
def test_a_comment_is_never_too_long(pools: int, devices: int, text: str, reason: HeldReason, refused: bool) -> None:  # noqa: FBT001  hypothesis gives it
    named = text.replace("\ud800", "")
    actions = tuple(
        Action(verb, worlds.imei(number), text, Place(text, 1, 1)) for verb in Verb for number in range(devices)
    )
    refusal = Refusal(Rule.COUNT, 1, 1, 2, worlds.REFUSAL.digest, text) if refused else None
    held = tuple(Held(action, reason) for action in actions)
    planned = [
        fota(*actions, held=held, refusal=refusal, pool=Pool(f"{named}{number}", *POOL)) for number in range(pools)
    ]
    inventory = InventoryInfo(1, "sha256:00", named, dirty=True)
    written = render.plan(RunPlan(inventory, worlds.NOW, tuple(planned)))
    assert len(written) <= render.MAX_LENGTH
    assert written.count("<details>") == written.count("</details>")

"""YAML as located values: what is understood, what is refused, and where it is said to stand."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensesync.located import (
    MOST_VALUES,
    Listing,
    Node,
    Refused,
    Stream,
    Table,
    Text,
    Unparsable,
    at,
    packed,
    tree,
)
from licensesync.model import Place
from licensesync.problems import Problems, printable, shown
from licensesync.runs import DEEPEST


def said(written: str | bytes) -> list[str]:
    """The problems of a file, as text."""
    problems = Problems()
    tree(written.encode() if isinstance(written, str) else written, "f", problems)
    return [str(problem) for problem in problems.in_order()]


def understood(written: str | bytes) -> Node | None:
    problems = Problems()
    root = tree(written.encode() if isinstance(written, str) else written, "f", problems)
    assert problems.in_order() == ()
    return root


def test_a_tree_keeps_what_was_written_and_where() -> None:
    root = understood("a: 012\n\"b\": [~, 'x']\n")

    assert isinstance(root, Table)
    assert root.place == Place("f", 1, 1)
    assert root.keys["b"] == Text("b", quoted=True, place=Place("f", 2, 1))
    assert root.values["a"] == Text("012", quoted=False, place=Place("f", 1, 4))
    tilde, quoted = Text("~", quoted=False, place=Place("f", 2, 7)), Text("x", quoted=True, place=Place("f", 2, 10))
    assert root.values["b"] == Listing((tilde, quoted), Place("f", 2, 6))
    assert tilde.is_null
    assert not quoted.is_null


@pytest.mark.parametrize("scalar", ["012", "1_000", "12:30", "1e5", "0x1F", "no", "2026-12-01", "1.50", "off", "+1"])
def test_a_scalar_is_the_text_that_was_written(scalar: str) -> None:
    root = understood(f"a: {scalar}")

    assert isinstance(root, Table)
    assert root.values["a"] == Text(scalar, quoted=False, place=Place("f", 1, 4))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("a: *x", "f:1:4: the alias '*x' is not read; write the value itself", id="alias"),
        pytest.param("a: &x 1", "f:1:4: the anchor '&x' is not read; remove it", id="anchor"),
        pytest.param("a: &x {b: 1}", "f:1:4: the anchor '&x' is not read; remove it", id="anchor of a mapping"),
        pytest.param("<<: {b: 1}", "f:1:1: merge keys are not read; write the keys themselves", id="merge key"),
        pytest.param("a: !!str 1", "f:1:4: the tag 'tag:yaml.org,2002:str' is not read; remove it", id="tag"),
        pytest.param("a: !env X", "f:1:4: the tag '!env' is not read; remove it", id="own tag"),
        pytest.param("a: !x [1]", "f:1:4: the tag '!x' is not read; remove it", id="tag of a list"),
        pytest.param(
            "a: 1\nb: 2\na: 3",
            "f:3:1: the key 'a' stands here a second time, first at f:1:1; keep one of the two",
            id="duplicate key",
        ),
        pytest.param("[a]: 1", "f:1:1: a key cannot be a list or a mapping; write a plain word", id="list as key"),
        pytest.param(
            "{a: 1}: 1", "f:1:1: a key cannot be a list or a mapping; write a plain word", id="mapping as key"
        ),
        pytest.param("*a : 1", "f:1:1: the alias '*a' is not read; write the value itself", id="alias as key"),
        pytest.param(
            "a: 1\n---\nb: 2", "f:2:1: a second document begins here; write one document for each file", id="documents"
        ),
        pytest.param("", "f:1:1: the file is empty; write its content, or delete it", id="nothing"),
        pytest.param("# note\n", "f:1:1: the file is empty; write its content, or delete it", id="only a comment"),
        pytest.param("a: 'x\n\n", "f:1:4: this is not YAML", id="quote that is not closed"),
        pytest.param("a: [1", "f:1:4: this is not YAML", id="bracket that is not closed"),
        pytest.param("a: 1\n\tb: 2", "f:2:1: this is not YAML", id="tab"),
        pytest.param("a: b: c", "f:1:5: this is not YAML", id="two colons"),
        pytest.param("ä: b: c", "f:1:5: this is not YAML", id="columns count characters"),
    ],
)
def test_what_hides_the_meaning_is_refused_at_its_place(written: str, expected: str) -> None:
    assert len(said(written)) == 1
    assert said(written)[0].startswith(expected)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("%TAG ! tag:example.com,2026:\n---\na: 1\n", "1:1"),
        ("# a comment\n%YAML 1.1\r\n%TAG !a! x\n--- !a!b 1\n", "3:1"),
        ("a: 1\n...\n%TAG ! x\n---\n", "3:1"),
        ("ä: 1\u2028%TAG ! x", "2:1"),
    ],
)
def test_a_tag_directive_is_refused_at_its_place(written: str, place: str) -> None:
    assert said(written) == [f"f:{place}: tags and their directives are not read; remove this line"]


def test_what_only_looks_like_a_directive_is_read() -> None:
    assert said("a: 50%TAG\nb: é%TAG\n# %TAG\n") == []
    assert said("%YAML 1.1\n---\na: 1\n") == []


def test_a_tree_or_a_mapping_without_end_is_refused_where_it_becomes_too_much() -> None:
    much = MOST_VALUES // 2
    assert said("[" + "a,\n" * much + "]") == []
    (too_much,) = said("- a\n" * (MOST_VALUES + 9))
    assert too_much.startswith(f"f:{MOST_VALUES}:3: there are more than {MOST_VALUES} values here; ")
    problems = Problems()
    stream = Stream("".join(f"k{key}: x\n" for key in range(MOST_VALUES + 9)).encode(), "f", problems)
    stream.begin()
    with pytest.raises(Unparsable):
        deque(stream.node() for _ in stream.table() or ())
    (problem,) = problems.in_order()
    assert str(problem.place) == f"f:{MOST_VALUES + 1}:1"


def test_a_tab_is_answered_with_what_to_write_instead() -> None:
    assert said("a:\n\t- 1")[0].endswith("; indent with blanks, not with tabs")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"a: b\xff\n", "f:1:5: this byte is not UTF-8; save the file as UTF-8"),
        (b"a: 1\r\n\xc3\xa4: \xe4\r\n", "f:2:4: this byte is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbfa\xff", "f:1:2: this byte is not UTF-8; save the file as UTF-8"),
        (b"a: \xc0\x80", "f:1:4: this byte is not UTF-8; save the file as UTF-8"),
        (b"x: 1\n" * 10_000 + b"\xff", "f:10001:1: this byte is not UTF-8; save the file as UTF-8"),
        (b"\na: \x00", "f:2:4: the control character '\\x00' cannot stand in YAML; remove it"),
        (b"a: \x1b[31m", "f:1:4: the control character '\\x1b' cannot stand in YAML; remove it"),
        ("a: 1".encode("utf-16"), "f:1:1: the file is UTF-16; save it as UTF-8"),
    ],
)
def test_bytes_that_are_not_text_are_refused_at_their_place(written: bytes, expected: str) -> None:
    assert said(written)[-1] == expected


@pytest.mark.parametrize(
    "written", [b"\xef\xbb\xbfa: 1\nb: 2\n", b"a: 1\r\nb: 2\r\n", b"a: 1\nb: 2\n", b"---\na: 1\nb: 2\n...\n"]
)
def test_byte_order_mark_and_line_ends_change_nothing(written: bytes) -> None:
    root = understood(written)

    assert isinstance(root, Table)
    assert [text.value for text in root.values.values() if isinstance(text, Text)] == ["1", "2"]
    assert {place.column for place in (key.place for key in root.keys.values())} == {1}


@pytest.mark.parametrize("depth", [DEEPEST + 1, 100_000])
def test_what_is_nested_too_deep_is_refused_at_once(depth: int) -> None:
    (problem,) = said("[" * depth)
    place, _, words = problem.partition(" ")
    assert words == f"this is nested more than {DEEPEST} deep; write it flatter"
    assert place.startswith("f:1:")
    assert DEEPEST < int(place.split(":")[2]) < depth + 2


def test_what_is_nested_less_deep_is_read() -> None:
    understood("[" * DEEPEST + "]" * DEEPEST)


def test_expanding_aliases_cost_nothing_because_they_are_not_followed() -> None:
    bomb = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(1_000))

    assert len(said(bomb)) == 1 + 4 * 1_000


def test_problems_of_skipped_nodes_are_reported_too() -> None:
    problems = Problems()
    stream = Stream(b"a: [1, {b: *x}]\nc: 1\n", "f", problems)
    stream.begin()
    keys = []
    for key in stream.table() or ():
        keys.append(key.value)
        stream.skip()
    stream.end()

    assert keys == ["a", "c"]
    assert [str(problem.place) for problem in problems.in_order()] == ["f:1:12"]


def test_what_stands_before_a_syntax_error_is_read_and_its_problems_are_reported() -> None:
    assert [line.partition(": ")[0] for line in said("a: *x\nb: &y 1\nc: [")] == ["f:1:4", "f:2:4", "f:3:5"]


def test_more_problems_than_anybody_reads_are_only_counted() -> None:
    problems = Problems(most=2)
    for line in (5, 4, 3, 2):
        problems.add(Place("f", line, 1), "wrong", "mend it")

    assert len(problems) == 4
    assert [str(problem) for problem in problems.in_order()] == [
        "f:4:1: wrong; mend it",
        "f:5:1: wrong; mend it",
        "f:3:1: 2 more problems are not shown; mend those above first",
    ]


def test_what_was_written_is_shown_short_and_harmless() -> None:
    assert shown("\x1b[31m\u202e\n") == "'\\x1b[31m\\u202e\\n'"
    assert shown("x" * 99) == f"'{'x' * 39}…'"
    assert printable("caf\u00e9 \udcff") == "café \\udcff"


@given(st.integers(1, 2**31), st.integers(1, 2**31))
def test_a_place_survives_being_packed(line: int, column: int) -> None:
    place = Place("f", line, column)

    assert at("f", packed(place)) == place


SCALARS = st.one_of(
    st.from_regex(r"[0-9]{1,16}", fullmatch=True),
    st.sampled_from(["~", "no", "x y", '"12"', "'1 2'", "&a 1", "!t 1", "*a", '""']),
)
RECORDS = st.lists(st.tuples(st.sampled_from(["a", "b", "<<", "[c]"]), SCALARS), max_size=9).map(
    lambda pairs: "{" + ", ".join(f"{key}: {value} " for key, value in pairs) + "}"
)


@given(st.lists(SCALARS | RECORDS, max_size=300))
def test_runs_and_records_are_what_the_tree_says(items: list[str]) -> None:
    written = ("".join(f"- {item}\n" for item in items) or "[]").encode()
    expected, found = Problems(), Problems()
    root = tree(written, "f", expected)
    stream = Stream(written, "f", found)
    stream.begin()
    nodes: list[tuple[Place, object]] = []
    for _ in stream.listing() or ():
        texts, positions = stream.texts()
        nodes += [(at("f", position), text) for text, position in zip(texts, positions, strict=True)]
        records = []
        while record := stream.record(lambda _: True):
            records.append((at("f", record[1]), record[0]))
        nodes += records
        if not texts and not records:
            node = stream.node()
            nodes.append((node.place, plain(node)))
    stream.end()

    assert isinstance(root, Listing)
    assert nodes == [(node.place, plain(node)) for node in root.items]
    assert found.in_order() == expected.in_order()


def plain(node: Node) -> object:
    """What is written in a node, without places."""
    match node:
        case Text():
            return node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Table():
            return {key: plain(value) for key, value in node.values.items()}
        case Refused():
            return None


def test_a_record_that_does_not_fit_is_left_for_the_slow_way() -> None:
    stream = Stream(b"{a: 1}", "f", Problems())
    stream.begin()

    assert stream.record(lambda _: False) is None
    assert plain(stream.node()) == {"a": "1"}


def test_a_long_mapping_is_no_record() -> None:
    stream = Stream(("{" + ", ".join(f"k{n}: 1" for n in range(20)) + "}").encode(), "f", Problems())
    stream.begin()

    assert stream.record(lambda _: True) is None

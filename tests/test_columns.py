"""Columns: many identifiers in little memory, sorted a part at a time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from licensesync.columns import SORTED_AT_ONCE, Digits, Index, Numbers, Packed, every, in_order

TEXTS = st.lists(
    st.one_of(
        st.text("0123456789", max_size=24),
        st.text("019", min_size=14, max_size=16),
        st.sampled_from(["990003425730535/89148000001234567890", "٣", "²", "-", "1", "01", "001"]),
    ),
    max_size=40,
)


def many(amount: int = 3 * SORTED_AT_ONCE) -> list[int]:
    """More numbers than are sorted at once, in no order, all different."""
    return random.Random(7).sample(range(10**14, 10**15), amount)


def columned(numbers: list[int]) -> Digits:
    column = Digits(16)
    column.extend([str(number) for number in numbers])
    return column


@given(TEXTS, TEXTS)
def test_what_is_packed_is_the_same_set(some: list[str], others: list[str]) -> None:
    packed = Packed([some[:7], [], some[7:]])
    assert set(packed) == set(some)
    assert len(packed) == len(set(some))
    assert [text in packed for text in others] == [text in some for text in others]


def test_a_great_many_are_packed_in_whatever_order_they_come() -> None:
    numbers = many()
    texts = [f"{number}" for number in numbers]
    packed = Packed([texts, texts[:1000]])
    assert len(packed) == len(numbers)
    assert list(packed) == sorted(texts)
    assert all(text in packed for text in texts[::1000])
    assert not any(f"0{text}" in packed for text in texts[::1000])


def test_parts_are_in_order_and_hold_everything_once() -> None:
    numbers = many()
    parts = list(in_order(numbers))
    assert [number for part in parts for number in part] == sorted(numbers)
    assert len(parts) > 2
    assert max(map(len, parts)) < 2 * SORTED_AT_ONCE


@given(st.lists(st.text()))
def test_few_values_are_one_part(values: list[str]) -> None:
    assert list(in_order(values)) == ([sorted(values)] if values else [])


def test_two_alike_among_many_are_found() -> None:
    numbers = many()
    assert columned(numbers).are_unique()
    assert not columned([*numbers, numbers[5]]).are_unique()


def test_an_index_of_many_finds_each_row() -> None:
    numbers = many()
    index = Index(columned([*numbers, numbers[5]]))
    some = range(0, len(numbers), 997)
    assert [next(index.rows(f"{numbers[row]}")) for row in some] == list(some)
    assert list(index.rows(f"{numbers[5]}")) == [5, len(numbers)]
    assert list(index.rows("0")) == []


@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(0, 2**64 - 1), max_size=4),
            st.builds(lambda first, count, step: range(first, first + count * step, step), *[st.integers(1, 9)] * 3),
        )
    )
)
def test_numbers_are_read_back_however_they_were_added(parts: list[list[int] | range]) -> None:
    column = Numbers()
    for part in parts:
        column.extend(part)
    expected = [number for part in parts for number in part]
    assert [column[row] for row in range(len(column))] == expected


@given(st.lists(st.integers()), st.integers(1, 9))
def test_every_so_many_are_those_of_a_slice(values: list[int], step: int) -> None:
    assert list(every(step, values)) == values[::step]

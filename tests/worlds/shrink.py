"""Makes a story that breaks a law as short as it gets: whatever can be left out is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Final, TypeVar

from worlds.play import Played, play
from worlds.story import Edit, Event, Fortune, Run, Story

T = TypeVar("T")

MOST_TRIES: Final = 100


def shrunk(story: Story) -> Played:
    """The shortest story found that breaks the same law; the story itself where it breaks none."""
    shortest = play(story)
    tries = 0
    again = bool(shortest.law)
    while again and tries < MOST_TRIES:
        again = False
        for shorter in _shorter(shortest.story):
            tries += 1
            played = play(shorter)
            if played.law == shortest.law:
                shortest, again = played, True
                break
            if tries >= MOST_TRIES:
                break
    return shortest


def _shorter(story: Story) -> Iterator[Story]:
    """Stories with a little less in them, those with much less first."""
    for events in _without_some(story.events):
        yield replace(story, events=events)
    for number, event in enumerate(story.events):
        for simpler in _simpler(event):
            yield replace(story, events=(*story.events[:number], simpler, *story.events[number + 1 :]))


def _simpler(event: Event) -> Iterator[Event]:
    match event:
        case Run():
            yield from (replace(event, troubles=fewer) for fewer in _without_some(event.troubles))
            plain = {each.name: each.default for each in fields(Run) if each.name != "troubles"}
            for name, default in plain.items():
                if getattr(event, name) != default:
                    yield replace(event, **{name: default})  # type: ignore[arg-type]  # of the field's own type
        case Fortune():
            for fewer in _without_some(tuple(event.quirks)):
                yield replace(event, quirks={name: event.quirks[name] for name in fewer})
            yield from (replace(event, locked=fewer) for fewer in _without_some(event.locked))
            yield from (replace(event, unknown=fewer) for fewer in _without_some(event.unknown))
            if event.doubled:
                yield replace(event, doubled=False)
        case Edit():
            yield from (replace(event, fota=fewer) for fewer in _without_some(event.fota))
            yield from (replace(event, sim=fewer) for fewer in _without_some(event.sim))
            if event.protected:
                yield replace(event, protected={})


def _without_some(things: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Without one half, then without a quarter, at last without each one."""
    size = (len(things) + 1) // 2
    while size:
        for start in range(0, len(things), size):
            yield (*things[:start], *things[start + size :])
        size = size // 2 if size > 1 else 0

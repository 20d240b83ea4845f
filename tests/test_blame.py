"""Who wrote a line of the inventory last: real repositories, made by the git program."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from licensesync import provenance
from licensesync.model import LineCommit, Place

ADA, GRACE = "Ada", "Grace Hopper"
FIRST, SECOND = datetime(2026, 11, 1, 8, 0, tzinfo=UTC), datetime(2026, 11, 22, 15, 30, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository; the settings stand in one of its folders, the inventory below that."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "conf/fleet").mkdir(parents=True)
    return tmp_path / "conf"


def git(folder: Path, *arguments: str | bytes, author: str | bytes = ADA, at: str = "") -> str:
    """What git prints; the committer is somebody else, much later."""
    who: dict[str, str | bytes] = {"GIT_AUTHOR_NAME": author, "GIT_AUTHOR_EMAIL": "a@example.com"}
    bot = {"GIT_COMMITTER_NAME": "Bot", "GIT_COMMITTER_EMAIL": "bot@example.com"}
    dates = {"GIT_AUTHOR_DATE": at or FIRST.isoformat(), "GIT_COMMITTER_DATE": "2027-01-01T00:00:00Z"}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    environ: dict[str, str | bytes] = {**os.environ, **alone, **bot, **dates, **who}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environ, check=True, capture_output=True)
    return done.stdout.decode().strip()


def commit(folder: Path, words: str, author: str | bytes = ADA, at: datetime = FIRST) -> str:
    git(folder, "add", "--all", ":/")
    git(folder, "commit", "--quiet", "--message", words, author=author, at=at.isoformat())
    return git(folder, "rev-parse", "HEAD")


def write(folder: Path, *lines: str, name: str = "fleet/a.yaml") -> None:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


def blamed(folder: Path, line: int, name: str = "fleet/a.yaml") -> LineCommit | None:
    return provenance.blame(Place(name, line, 9), folder)


def test_the_last_commit_of_a_line_is_told_with_author_time_and_subject(folder: Path) -> None:
    write(folder, "groups:", "  - a", "  - b")
    first = commit(folder, "Chicago\n\nAll of it.")
    write(folder, "groups:", "  - a", "  - c")
    second = commit(folder, "Chicago: c for b", GRACE, SECOND)

    assert blamed(folder, 2) == LineCommit(first, ADA, FIRST, "Chicago")
    assert blamed(folder, 3) == LineCommit(second, GRACE, SECOND, "Chicago: c for b")
    assert len(first) == 40


def test_a_line_that_only_moved_keeps_its_commit(folder: Path) -> None:
    write(folder, "groups:", "  - a")
    first = commit(folder, "first")
    write(folder, "# one", "# two", "groups:", "  - a")
    second = commit(folder, "second")
    git(folder, "mv", "fleet/a.yaml", "fleet/b.yaml")
    commit(folder, "third")

    commits = [told.commit if (told := blamed(folder, line, "fleet/b.yaml")) else "" for line in (1, 2, 3, 4)]

    assert commits == [second, second, first, first]


def test_the_time_is_utc_wherever_the_author_is(folder: Path) -> None:
    write(folder, "a")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x", at="2026-11-22T21:00:00+05:30")

    told = blamed(folder, 1)

    assert told
    assert told.at == SECOND
    assert told.at.tzinfo is UTC


def test_a_line_that_is_not_committed_yet_says_so(folder: Path) -> None:
    write(folder, "a", "b")
    first = commit(folder, "first")
    write(folder, "new", "a", "changed")
    git(folder, "add", "--all")
    write(folder, "new", "a", "changed", "more")

    told = [blamed(folder, line) for line in (1, 2, 3, 4)]

    assert told == [LineCommit(None), LineCommit(first, ADA, FIRST, "first"), LineCommit(None), LineCommit(None)]


def test_a_list_that_is_added_and_not_committed_yet_says_so(folder: Path) -> None:
    write(folder, "a")
    commit(folder, "first")
    write(folder, "990003425730534", name="fleet/a.csv")
    git(folder, "add", "--all")

    assert blamed(folder, 1, "fleet/a.csv") == LineCommit(None)


def test_lines_of_a_list_are_told_too(folder: Path) -> None:
    (folder / "fleet/a, b.csv").write_bytes(b"imei,note\r\n990003425730534,pump 7")
    first = commit(folder, "list")

    assert blamed(folder, 2, "fleet/a, b.csv") == LineCommit(first, ADA, FIRST, "list")


@pytest.mark.parametrize("name", ["-a.yaml", ":(top)a.yaml", "*.yaml", "\t.yaml", "ä.yaml"])
def test_names_that_mean_something_to_git_are_names(folder: Path, name: str) -> None:
    write(folder, "x", name="fleet/other.yaml")
    commit(folder, "other")
    write(folder, "x", name=f"fleet/{name}")
    first = commit(folder, "first")

    assert blamed(folder, 1, f"fleet/{name}") == LineCommit(first, ADA, FIRST, "first")


def test_a_file_beside_the_settings_folder_is_told_too(folder: Path) -> None:
    write(folder, "a", name="../fleet.yaml")
    first = commit(folder, "first")

    assert blamed(folder, 1, "../fleet.yaml") == LineCommit(first, ADA, FIRST, "first")


def test_a_place_beside_the_settings_folder_is_where_it_is_written_though_that_folder_is_a_link(folder: Path) -> None:
    write(folder, "a", name="../fleet.yaml")
    (folder.parent / "etc/deep").mkdir(parents=True)
    (folder.parent / "settings").symlink_to("etc/deep")
    first = commit(folder, "first")

    assert blamed(folder.parent / "settings", 1, "../fleet.yaml") == LineCommit(first, ADA, FIRST, "first")


def test_umlauts_stay_what_they_are_in_any_encoding_that_the_commit_names(folder: Path) -> None:
    write(folder, "a")
    commit(folder, "Zähler", "Jürgen Größe")
    git(folder, "config", "i18n.commitEncoding", "ISO-8859-1")
    git(folder, "config", "i18n.logOutputEncoding", "ISO-8859-1")
    write(folder, "a", "b")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Z\xe4hler".encode("latin-1"), author="Jürgen".encode("latin-1"))

    told = [(told.author, told.summary) if (told := blamed(folder, line)) else () for line in (1, 2)]

    assert told == [("Jürgen Größe", "Zähler"), ("Jürgen", "Zähler")]


def test_bytes_that_are_no_text_and_times_that_are_no_time_do_no_harm(folder: Path) -> None:
    write(folder, "a")
    commit(folder, "first")
    raw = git(folder, "cat-file", "commit", "HEAD").replace(f"Ada <a@example.com> {FIRST.timestamp():.0f}", "AUTHOR")
    odd = f"{raw}\n".encode().replace(b"AUTHOR", b"J\xfcr\x1bgen\xff <> 99999999999999")
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"]
    made = subprocess.run(command, cwd=folder, input=odd, check=True, capture_output=True).stdout.decode().strip()
    git(folder, "update-ref", "HEAD", made)

    assert blamed(folder, 1) == LineCommit(made, "J\ufffdr\x1bgen\ufffd", None, "first")


def test_an_own_filter_for_people_does_not_move_the_lines(folder: Path) -> None:
    write(folder, "*.yaml diff=odd", name="../.gitattributes")
    write(folder, "a", "b")
    first = commit(folder, "first")
    git(folder, "config", "diff.odd.textconv", "head -n 1")

    assert blamed(folder, 2) == LineCommit(first, ADA, FIRST, "first")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("fleet/untracked.yaml", 1),
        ("fleet/ignored.yaml", 1),
        ("fleet/none.yaml", 1),
        ("none/a.yaml", 1),
        ("fleet/a.yaml", 2),
        ("fleet", 1),
        (".", 1),
        ("fleet/link.yaml", 1),
        ("fleet/loop.yaml", 1),
        ("fleet/loop.yaml/a.yaml", 1),
        ("../../outside.yaml", 1),
        ("fleet/leads-out/outside.yaml", 1),
        ("../.git/HEAD", 1),
        ("fleet/gone.yaml", 1),
    ],
)
def test_nothing_is_told_of_what_is_no_line_of_a_file_in_the_repository(tmp_path: Path, name: str, line: int) -> None:
    inside = tmp_path / "repository/conf"
    (inside / "fleet").mkdir(parents=True)
    git(inside.parent, "init", "--quiet")
    write(inside, "a")
    write(inside, "gone", name="fleet/gone.yaml")
    write(inside, "fleet/ignored.yaml", name=".gitignore")
    (tmp_path / "outside").mkdir()
    (inside / "fleet/link.yaml").symlink_to("a.yaml")
    (inside / "fleet/loop.yaml").symlink_to("loop.yaml")
    (inside / "fleet/leads-out").symlink_to(tmp_path / "outside")
    commit(inside, "first")
    (inside / "fleet/gone.yaml").unlink()
    for stranger in ("fleet/untracked.yaml", "fleet/ignored.yaml", "../../outside.yaml", "../../outside/outside.yaml"):
        write(inside, "a", name=stranger)

    assert blamed(inside, line, name) is None
    assert blamed(inside, 1)


def test_a_folder_that_is_a_link_is_followed(folder: Path) -> None:
    write(folder, "a")
    (folder / "current").symlink_to("fleet")
    first = commit(folder, "first")

    assert blamed(folder, 1, "current/a.yaml") == LineCommit(first, ADA, FIRST, "first")


def test_nothing_is_told_outside_a_repository(tmp_path: Path) -> None:
    write(tmp_path, "a", name="a.yaml")

    assert blamed(tmp_path, 1, "a.yaml") is None


def test_nothing_is_told_before_the_first_commit(folder: Path) -> None:
    write(folder, "a")
    git(folder, "add", "--all")

    assert blamed(folder, 1) is None


def test_nothing_is_told_of_lines_older_than_a_shallow_clone(folder: Path, tmp_path: Path) -> None:
    write(folder, "a")
    commit(folder, "first")
    write(folder, "a", "b")
    commit(folder, "second")
    write(folder, "a", "b", "c")
    third = commit(folder, "third")
    git(tmp_path, "clone", "--quiet", "--depth", "2", f"file://{tmp_path}", "clone")

    told = [blamed(tmp_path / "clone/conf", line) for line in (1, 2, 3)]

    assert told == [None, None, LineCommit(third, ADA, FIRST, "third")]


def test_nothing_is_told_without_a_git_program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "a")
    commit(folder, "first")
    monkeypatch.setenv("PATH", str(folder))

    assert blamed(folder, 1) is None


def test_a_git_that_takes_too_long_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = folder / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    write(folder, "a")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    assert provenance.blame(Place("fleet/a.yaml", 1, 1), folder, patience=0.1) is None

"""What is written to disk: who else may read it, and where it ends up if somebody has put a link in the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE

import pytest
from gits import remote_in

from licensesync import settings
from licensesync.cli.examination import keeping
from licensesync.cli.output import save
from licensesync.errors import LedgerError
from licensesync.ledger import database, lock
from licensesync.model import Result
from licensesync.repository import Mirror
from licensesync.sources import GitSource

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """A user whose umask takes nothing from anybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[str]:
    """What somebody else could get at; nobody gets into a folder that is its owner's alone."""
    found: list[str] = []
    for path in folder.iterdir():
        if mode(path) & 0o077:
            found.append(str(path))
        if path.is_dir() and mode(path) & 0o077:
            found += open_to_others(path)
    return found


def test_ledger_locks_and_mirror_are_their_owners_whatever_the_umask(tmp_path: Path) -> None:
    remote = remote_in(tmp_path / "remote")
    remote.push("groups: []")
    state = tmp_path / "state"
    state.mkdir()
    ledger = state / "ledger.db"
    with lock.held(ledger, "apply", NOW), lock.held(ledger, "serve", NOW, lock.SERVICE), database.written(ledger):
        Mirror(GitSource(str(remote.url), "main"), state / "ledger-inventory.git").fetch()
        assert {path.suffix for path in state.iterdir()} >= {".db", ".lock", ".git", ".db-wal"}
        assert open_to_others(state) == []


def test_a_lock_that_is_a_link_leads_nobody_to_write_elsewhere(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("words")
    (tmp_path / "ledger.db.lock").symlink_to(precious)
    with (
        pytest.raises(LedgerError, match="is a link; see who made it"),
        lock.held(tmp_path / "ledger.db", "apply", NOW),
    ):
        pass
    assert precious.read_text() == "words"


def test_a_folder_in_which_everybody_may_put_another_ledger_is_told(tmp_path: Path) -> None:
    (tmp_path / "licensesync.yaml").write_text(
        'inventory: fleet.yaml\npools: {fota: {product: fota, account: "0642233522-00001", mode: full}}\n'
    )
    found = settings.load(tmp_path / "licensesync.yaml")
    tmp_path.chmod(0o1777)
    exposed = {each.check: each for each in keeping.checks(found, {})}
    tmp_path.chmod(0o755)
    fine = {each.check: each for each in keeping.checks(found, {})}
    assert (exposed[keeping.RIGHTS].result, fine[keeping.RIGHTS].result) == (Result.WARNING, Result.OK)
    assert str(tmp_path) in exposed[keeping.RIGHTS].found


def test_a_document_has_the_rights_of_any_new_file_and_one_that_is_replaced_keeps_its_own(tmp_path: Path) -> None:
    os.umask(0o027)
    fresh, private = tmp_path / "fresh.json", tmp_path / "private.json"
    private.touch(0o600)
    for file in (fresh, private):
        save(file, b"{}")
    assert (mode(fresh), mode(private)) == (0o640, 0o600)
    assert {path.name for path in tmp_path.iterdir()} == {"fresh.json", "private.json"}


def test_nobody_can_lay_a_link_where_a_document_is_drafted(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("words")
    (tmp_path / f".plan.json.{os.getpid()}").symlink_to(precious)
    save(tmp_path / "plan.json", b"{}")
    assert precious.read_text() == "words"

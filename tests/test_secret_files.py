"""An inventory names files by itself: none that holds a secret is read, or a message would quote it."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from licensesync import inventory, settings
from licensesync.cli import app
from licensesync.cli.examination import written
from licensesync.files import LocalFiles, Unreadable
from licensesync.origin import origin

SECRET = "hunter2"
SETTINGS = """\
inventory: {inventory}
listen: off
pools: {{fota: {{product: fota, account: "0642233522-00001", mode: full}}}}
callbacks:
  listen: 127.0.0.1:0
  public_url: https://callbacks.example.com/
  tls: {{certificate: chain.pem, key: key.pem}}
"""
FILES = {
    "password": "this file holds a credential",
    "credentials/thingspace-key": "this file holds a credential",
    "key.pem": "this file holds a credential",
    "link.csv": "this file holds a credential",
    "hard-link.csv": "this file holds a credential",
    ".git/config": "this belongs to git",
    "leads-into-git.csv": "this belongs to git",
    ".GIT/config": "this belongs to git",
}


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    for name in ("password", "credentials/thingspace-key", "key.pem", ".git/config", ".GIT/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{SECRET}\n")
    (tmp_path / "link.csv").symlink_to("password")
    (tmp_path / "hard-link.csv").hardlink_to(tmp_path / "password")
    (tmp_path / "leads-into-git.csv").symlink_to(".git/config")
    return {
        "THINGSPACE_PASSWORD_FILE": str(tmp_path / "password"),
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
    }


def write(folder: Path, named: str, inventory: str) -> settings.Settings:
    (folder / "licensesync.yaml").write_text(SETTINGS.format(inventory=inventory))
    (folder / "fleet.yaml").write_text(f"groups: [{{name: g, licenses: [fota], devices_from: {named}}}]\n")
    return settings.load(folder / "licensesync.yaml")


@pytest.mark.parametrize("inventory_is", ["fleet.yaml", "."])
@pytest.mark.parametrize(("named", "why"), FILES.items())
def test_a_file_that_holds_a_secret_is_named_and_not_read(
    tmp_path: Path, environ: Mapping[str, str], inventory_is: str, named: str, why: str
) -> None:
    found = write(tmp_path, named, inventory_is)
    told = [str(each) for each in inventory.draft(origin(found, environ, fetch=False).files(), found.pools).problems]
    assert SECRET not in "".join(told)
    assert any(f"devices_from '{named}': {why}" in line for line in told)


def test_check_and_doctor_do_not_tell_it_either(
    tmp_path: Path, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "password", "fleet.yaml").file
    examined = written.of_inventory(file, settings.draft(file), environ)
    assert "devices_from 'password': this file holds a credential" in examined.found
    assert SECRET not in repr(examined)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["licensesync", "check", "--format", "github"])
    with pytest.raises(SystemExit):
        app.main()
    told = "".join(capsys.readouterr())
    assert "this file holds a credential" in told
    assert SECRET not in told


def test_whoever_swaps_a_link_while_it_is_read_gains_nothing(tmp_path: Path) -> None:
    """It takes some hundred tries to win that race where only the name is looked at, before it is opened."""
    (tmp_path / "secret").write_text(SECRET)
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    (fleet / "fine").write_text("990003425730535\n")
    for name, target in (("to-fine", "fine"), ("to-secret", "../secret")):
        (fleet / name).symlink_to(target)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            for name in ("to-fine", "to-secret"):
                os.link(fleet / name, fleet / "draft", follow_symlinks=False)
                (fleet / "draft").replace(fleet / "list.csv")

    swapping = threading.Thread(target=swap)
    swapping.start()
    read: Counter[str] = Counter()
    try:
        for _ in range(700):
            try:
                read[LocalFiles(fleet, tmp_path).read("list.csv").decode()] += 1
            except Unreadable as why:
                read[why.message] += 1
    finally:
        ended.set()
        swapping.join()
    assert SECRET not in read

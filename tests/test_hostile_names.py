"""Names that others chose, in what the program says on standard error: shown, and never obeyed by a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from licensesync import credentials
from licensesync.cli import app, streams

STEERING = "\x1b[2J\x9b31m\u202eevil\x07"


def test_what_is_said_keeps_its_lines_and_shows_what_would_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    streams.say(f"first {STEERING}\nsecond")
    assert capsys.readouterr().err == "first \\x1b[2J\\x9b31m\\u202eevil\\x07\nsecond\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--settings", STEERING, "check", "--format", "text"],
        ["--settings", "licensesync.yaml", "plan", "--out", f"{STEERING}/plan.json"],
        ["--settings", "licensesync.yaml", "plan", "--git-ref", f"-{STEERING}"],
        ["--settings", "licensesync.yaml", "import", "--output", f"{STEERING}/fleet.yaml"],
    ],
)
def test_an_error_shows_a_name_and_does_not_obey_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    (tmp_path / "licensesync.yaml").write_text(
        'inventory: fleet.yaml\npools: {fota: {product: fota, account: "0642233522-00001", mode: full}}\n'
    )
    (tmp_path / "fleet.yaml").write_text("groups: []\n")
    for name in credentials.NAMES:
        monkeypatch.setenv(name, "x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["licensesync", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 1
    told = "".join(capsys.readouterr())
    assert "evil" in told
    assert all(char.isprintable() or char == "\n" for char in told)

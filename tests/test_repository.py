"""The mirror of a git remote: real repositories, made and pushed to by the git program."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from gits import ADA, Remote, git, remote_in

from licensesync import signatures
from licensesync.errors import ProvenanceError
from licensesync.files import Unreadable
from licensesync.remotes import Vanished
from licensesync.repository import Damaged, Mirror, NoSuchPath
from licensesync.sources import GitSource, Verify

TOKEN = "hunter2"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return remote_in(tmp_path)


@pytest.fixture
def source(remote: Remote) -> GitSource:
    return GitSource(str(remote.url), "main", "fleet", timeout=timedelta(seconds=20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the mirror is or will be."""
    state = tmp_path / "state"
    state.mkdir()
    return state / "ledger-inventory.git"


def fetched(source: GitSource, folder: Path) -> Mirror:
    mirror = Mirror(source, folder)
    mirror.fetch()
    return mirror


def texts(mirror: Mirror) -> dict[str, str]:
    """What the files of the inventory say at the commit that the ref means."""
    tree = mirror.tree(mirror.commit())
    return {tree.place_of(name): tree.read(name).decode() for name in tree.names()[0]}


def why(mirror: Mirror) -> str:
    """What a fetch says that fails."""
    with pytest.raises(ProvenanceError) as failed:
        mirror.fetch()
    return str(failed.value)


def test_the_newest_commit_is_read_with_its_author_and_places_in_the_repository(
    remote: Remote, source: GitSource, folder: Path
) -> None:
    first = remote.push("one")
    mirror = fetched(source, folder)
    assert (mirror.commit(), mirror.author(first), texts(mirror)) == (first, ADA, {"fleet/a.yaml": "one"})
    second = remote.push("two", name="fleet/b.yaml")
    assert mirror.commit() == first, "nothing is asked of the remote but by a fetch"
    mirror.fetch()
    assert (mirror.commit(), texts(mirror)) == (second, {"fleet/a.yaml": "one", "fleet/b.yaml": "two"})
    assert texts(Mirror(source, folder)) == texts(mirror), "another process reads the same"
    assert Mirror(source, folder).fetched_at == mirror.fetched_at, "when it was reached survives a restart"
    assert git(folder, "rev-list", "--all", "--count") == "1", "no history is fetched"
    assert not list(folder.parent.glob(".*")), "nothing is left behind"


def test_a_ref_is_a_branch_a_tag_or_a_whole_commit(remote: Remote, source: GitSource, folder: Path) -> None:
    first = remote.push("one")
    git(remote.folder, "tag", "--annotate", "--message", "x", "v1")
    git(remote.folder, "push", "--quiet", "origin", "v1")
    second = remote.push("two")
    refs = {"main": second, "refs/heads/main": second, "HEAD": second, "v1": first, first: first}
    assert {ref: fetched(replace(source, ref=ref), folder).commit() for ref in refs} == refs
    assert re.search("cannot be fetched: .*; push it, or write", why(Mirror(replace(source, ref=first[:10]), folder)))
    tree = git(remote.folder, "rev-parse", "HEAD^{tree}")
    git(remote.folder, "push", "--quiet", "origin", f"{tree}:refs/tags/tree")
    assert why(Mirror(replace(source, ref="tree"), folder)).endswith(
        "is a tree and no commit; write a branch or another tag"
    )
    with pytest.raises(ProvenanceError, match="a remote cannot be asked for 'HEAD~1'; write a branch"):
        Mirror(replace(source, ref="HEAD~1"), folder)


def test_a_force_push_is_followed(remote: Remote, source: GitSource, folder: Path) -> None:
    base = remote.push("base")
    remote.push("wrong")
    mirror = fetched(source, folder)
    other = remote.push("right", parent=base)
    mirror.fetch()
    assert (mirror.commit(), texts(mirror)) == (other, {"fleet/a.yaml": "right"})
    remote.push("", parent=base)
    git(remote.folder, "push", "--quiet", "--force", "origin", f"{base}:main")
    mirror.fetch()
    assert mirror.commit() == base, "backwards too"


def test_a_vanished_ref_is_no_dead_remote(remote: Remote, source: GitSource, folder: Path) -> None:
    remote.push("one", to="other")
    commit = remote.push("two")
    mirror = fetched(source, folder)
    git(remote.url, "symbolic-ref", "HEAD", "refs/heads/other")
    remote.delete("main")
    with pytest.raises(
        Vanished, match=r"^main of \S+remote.git cannot be fetched: .*; push it, or write another ref: "
    ):
        mirror.fetch()
    assert mirror.commit() == commit, "what it was is still known"


def test_a_vanished_path_and_a_missing_file_are_told(remote: Remote, source: GitSource, folder: Path) -> None:
    remote.push("one")
    git(remote.folder, "mv", "fleet", "armada")
    commit = remote.push("two", name="armada/a.yaml")
    mirror = fetched(source, folder)
    with pytest.raises(NoSuchPath, match=rf"^commit {commit[:10]} of main of .* has no fleet; push one, or mend path:"):
        mirror.tree(commit)
    assert texts(Mirror(replace(source, path="armada"), folder)) == {"armada/a.yaml": "two"}
    single = fetched(replace(source, path="armada/a.yaml"), folder)
    assert texts(single) == {"armada/a.yaml": "two"}
    with pytest.raises(Unreadable, match="there is no such file in commit"):
        single.tree(commit).read("b.csv")
    (remote.folder / "armada" / "link.yaml").symlink_to("a.yaml")
    mirror = fetched(replace(source, path="armada"), folder)
    remote.push("two", name="armada/a.yaml")
    mirror.fetch()
    with pytest.raises(Unreadable, match="this is not a regular file"):
        texts(mirror)


def test_a_branch_goes_before_a_tag_of_its_name(remote: Remote, source: GitSource, folder: Path) -> None:
    tagged = remote.push("tagged")
    git(remote.folder, "tag", "main")
    git(remote.folder, "push", "--quiet", "origin", "refs/tags/main")
    commit = remote.push("one")
    assert fetched(source, folder).commit() == commit
    assert fetched(replace(source, ref="refs/tags/main"), folder).commit() == tagged
    git(remote.folder, "tag", "only")
    git(remote.folder, "push", "--quiet", "origin", "only")
    assert fetched(replace(source, ref="only"), folder).commit() == commit


def test_what_a_commit_does_not_hold_itself_is_told_and_never_left_out(
    remote: Remote, source: GitSource, folder: Path
) -> None:
    first = remote.push("one")
    inside = remote.folder / "fleet"
    for name, target in {
        "shared": "../armada",
        "hidden": ".armada",
        "nowhere": "../none",
        "out": "../../..",
        "odd\nname": "../armada",
        "words": "../armada/words.txt",
        ".quiet": "../armada",
    }.items():
        (inside / name).symlink_to(target)
    for path in ("armada/words.txt", "armada/b.yaml", "fleet/.armada/c.yaml"):
        remote.push("two", name=path)
    (inside / "module").mkdir()
    git(remote.folder, "update-index", "--add", "--cacheinfo", f"160000,{first},fleet/module")
    commit = remote.push("one")
    names, unreadable = fetched(source, folder).tree(commit).names()
    assert names == ["a.yaml"]
    assert {each.name: each.message for each in unreadable} == {
        "module": "a submodule is not read",
        "shared": "a link to a folder is not followed in a commit",
        "hidden": "a link to a folder is not followed in a commit",
        "nowhere": "the link leads nowhere in its repository",
        "out": "the link leads nowhere in its repository",
        "odd\nname": "the link leads nowhere in its repository",
    }


def test_a_dead_remote_costs_nothing_but_freshness(remote: Remote, source: GitSource, folder: Path) -> None:
    nowhere = Mirror(source, folder)
    assert "main of " in why(nowhere)
    with pytest.raises(ProvenanceError, match=r"was not fetched into .* yet; run licensesync plan once"):
        nowhere.commit()
    commit = remote.push("one")
    mirror = fetched(source, folder)
    before = mirror.fetched_at
    remote.url.rename(remote.url.with_name("away"))
    assert "see whether `git ls-remote` can read it as this user" in why(mirror)
    assert (mirror.commit(), texts(mirror), mirror.fetched_at) == (commit, {"fleet/a.yaml": "one"}, before)
    assert before is not None
    remote.url.with_name("away").rename(remote.url)
    mirror.fetch()
    assert mirror.fetched_at is not None
    assert mirror.fetched_at > before


@pytest.mark.parametrize("damage", ["objects", "HEAD", "half", "file", "refs", "blob"])
def test_a_damaged_mirror_is_made_anew(remote: Remote, source: GitSource, folder: Path, damage: str) -> None:
    remote.push("one")
    mirror = fetched(source, folder)
    mark = mirror.mark
    match damage:
        case "objects" | "refs":
            shutil.rmtree(folder / damage)
        case "HEAD":
            (folder / "HEAD").unlink()
        case "half":
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / f".{folder.name}-x").mkdir()
        case "file":
            shutil.rmtree(folder)
            folder.write_text("?")
        case "blob":
            blob = git(remote.folder, "rev-parse", "HEAD:fleet/a.yaml")
            (folder / "objects" / blob[:2] / blob[2:]).unlink()
            with pytest.raises(Damaged, match=r"is damaged .*; a fetch makes it anew"):
                texts(mirror)
    commit = remote.push("two", name="fleet/b.yaml")
    mirror.fetch()
    assert (mirror.commit(), texts(mirror)) == (commit, {"fleet/a.yaml": "one", "fleet/b.yaml": "two"})
    assert mirror.mark != mark
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_what_a_killed_fetch_leaves_behind_is_in_nobodys_way(remote: Remote, source: GitSource, folder: Path) -> None:
    remote.push("one")
    mirror = fetched(source, folder)
    (folder / "shallow.lock").touch()
    (folder / "refs" / "licensesync" / "x.lock").touch()
    (folder.parent / f".{folder.name}-killed").mkdir()
    remote.push("two")
    mirror.fetch()
    assert texts(mirror) == {"fleet/a.yaml": "two"}
    assert not list(folder.rglob("*.lock"))
    assert not list(folder.parent.glob(".*"))


def test_many_fetches_do_not_let_the_mirror_grow_for_ever(
    remote: Remote, source: GitSource, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(22):
        remote.push(str(number), to=f"b{number}")
    for name, value in {"COUNT": "1", "KEY_0": "fetch.unpackLimit", "VALUE_0": "1"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)  # each fetch makes a pack
    mirrors = [fetched(replace(source, ref=f"b{number}"), folder) for number in range(22)]
    assert len(list(folder.glob("objects/pack/*.pack"))) < 5
    assert [texts(mirror)["fleet/a.yaml"] for mirror in mirrors] == [str(number) for number in range(22)]


def test_a_link_in_place_of_the_lock_is_not_followed(source: GitSource, folder: Path, tmp_path: Path) -> None:
    folder.with_name(f"{folder.name}.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ProvenanceError, match=r"is a link; see who made it, and remove it"):
        fetched(source, folder)
    assert not (tmp_path / "elsewhere").exists()


def test_one_process_at_a_time_fetches(remote: Remote, source: GitSource, folder: Path) -> None:
    remote.push("one")
    mirrors = [Mirror(source, folder) for _ in range(4)]
    threads = [threading.Thread(target=mirror.fetch) for mirror in mirrors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(texts(mirror) == {"fleet/a.yaml": "one"} for mirror in mirrors)
    lock = folder.with_name(f"{folder.name}.lock")
    held = subprocess.Popen(["flock", str(lock), "sh", "-c", "echo held; read x"], stdin=-1, stdout=-1)
    with held:
        assert held.stdout is not None
        assert held.stdout.readline() == b"held\n"
        hasty = Mirror(replace(source, timeout=timedelta(seconds=0.2)), folder)
        assert "another process has been fetching into" in why(hasty)
        held.communicate(b"\n")


def test_a_remote_that_hangs_is_left_after_the_timeout_with_all_its_processes(source: GitSource, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"git://127.0.0.1:{deaf.getsockname()[1]}/fleet.git"
        start = time.monotonic()
        said = why(Mirror(replace(source, url=url, timeout=timedelta(seconds=1)), folder))
        assert time.monotonic() - start < 4
        assert said.startswith(f"{url} did not answer within 1 s; see whether it can be reached, or allow more")
        connection, _ = deaf.accept()
        with connection:
            connection.settimeout(5)
            while connection.recv(4096):
                pass  # the end comes once nobody has the connection open any more


def test_nothing_in_a_url_or_a_ref_is_a_command_or_an_option(
    source: GitSource, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    evil = tmp_path / "evil"
    asked = f"touch {evil}"
    for url in (f"ext::sh -c touch% {evil}", f"--upload-pack={asked}", f"ssh://-oProxyCommand={asked}/x", "fd::3"):
        assert why(Mirror(replace(source, url=url), folder))
    for ref in (f"--upload-pack={asked}", "-x", "main:refs/heads/x", "+main", "a b", ""):
        with pytest.raises(ProvenanceError, match="a remote cannot be asked for"):
            Mirror(replace(source, ref=ref), folder)
    assert "write a url of https, ssh, git or file" in why(Mirror(replace(source, url="ext::true"), folder))
    assert not evil.exists()


def test_it_asks_nobody_and_shows_no_secret(source: GitSource, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"http://127.0.0.1:{server.getsockname()[1]}/"
        answering = threading.Thread(target=_unauthorized, args=(server,))
        answering.start()
        asks = why(Mirror(replace(source, url=f"{here}fleet.git"), folder))
        configured = {"COUNT": "1", "KEY_0": f"url.http://me:{TOKEN}@{here[7:]}.insteadOf", "VALUE_0": here}
        for name, value in configured.items():
            monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
        secret = why(Mirror(replace(source, url=f"{here}fleet.git"), folder))
        server.shutdown(socket.SHUT_RDWR)
        answering.join()
    dead = why(Mirror(replace(source, url=f"{here}fleet.git"), folder))
    assert "let git have the right to read it: a deploy_key: in the settings" in asks
    assert all(words.startswith(f"main of {here}fleet.git cannot be fetched: ") for words in (asks, secret, dead))
    assert TOKEN not in f"{asks}{secret}{dead}"


def _unauthorized(server: socket.socket) -> None:
    """Wants a password, and likes none."""
    head = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n"
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head + b"Connection: close\r\n\r\n")


def test_the_deploy_key_and_nothing_else_is_shown_to_the_host(
    remote: Remote, source: GitSource, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.push("one")
    notes, programs = tmp_path / "notes", tmp_path / "programs"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done >> {notes}\neval "$word"\n')
    ssh.chmod(0o700)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    key = tmp_path / "a key"
    by_ssh = replace(source, url=f"git@host:{remote.url}", deploy_key=key)
    assert why(Mirror(by_ssh, folder)).startswith(f"the deploy key {key} cannot be read; let this user read it")
    key.touch()
    assert texts(fetched(by_ssh, folder)) == {"fleet/a.yaml": "one"}
    words = notes.read_text().splitlines()
    assert words[:2] == ["-i", str(key)]
    assert {"IdentitiesOnly=yes", "BatchMode=yes", "git@host"} <= {*words}
    notes.unlink()
    monkeypatch.delenv("GIT_SSH_COMMAND")
    fetched(replace(by_ssh, deploy_key=None), folder)
    assert notes.read_text().splitlines()[:2] == ["-o", "BatchMode=yes"]


def test_a_mirror_that_may_not_be_written_says_so(remote: Remote, source: GitSource, tmp_path: Path) -> None:
    remote.push("one")
    nowhere = tmp_path / "no" / "mirror.git"
    assert why(Mirror(source, nowhere)) == (
        f"the mirror {nowhere} cannot be written: {nowhere}.lock: No such file or directory; see that its folder is "
        "there, and that this user may write both"
    )


def test_what_git_starts_does_not_get_the_secrets_of_this_program(
    source: GitSource, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = tmp_path / "heard"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nenv > {heard}\nexit 255\n")
    ssh.chmod(0o755)
    secrets = ("THINGSPACE_PASSWORD", "WEBHOOK_URL", "WEBHOOK_TOKEN", "CALLBACK_PASSWORD", "NOTIFY_SOCKET")
    for name in secrets:
        monkeypatch.setenv(name, TOKEN)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    assert TOKEN not in why(Mirror(replace(source, url="ssh://git@h.example.com/r"), folder))
    assert "GIT_SSH_COMMAND" in heard.read_text()
    assert not {name for name in secrets if name in heard.read_text()}


# Signatures


@pytest.mark.parametrize(("program", "verify"), [("ssh-keygen", "ssh"), ("gpg", "gpg")])
def test_what_looks_at_a_signature_does_not_get_the_secrets_of_this_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, verify: str
) -> None:
    heard, keys = tmp_path / "heard", tmp_path / "keys"
    keys.touch()
    (tmp_path / program).write_text(f"#!/bin/sh\nenv >> {heard}\nexit 1\n")
    (tmp_path / program).chmod(0o755)
    for name in ("THINGSPACE_PASSWORD", "CALLBACK_PASSWORD", "WEBHOOK_URL"):
        monkeypatch.setenv(name, TOKEN)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    kind = {"ssh": "SSH SIGNATURE", "gpg": "PGP SIGNATURE"}[verify]
    commit = f"tree 0\ngpgsig -----BEGIN {kind}-----\n\nwords".encode()
    with pytest.raises(ProvenanceError):
        signatures.must_be_good(commit, Verify(**{verify: keys}))
    assert "PATH=" in heard.read_text()
    assert TOKEN not in heard.read_text()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """SSH keys of Ada and Eve."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("ada", "eve"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    return folder


def signers(keys: Path, name: str, conditions: str = 'namespaces="git"') -> Path:
    """A file of one allowed signer."""
    file = keys / "signers"
    file.write_text(f"{name}@example.com {conditions} {(keys / f'{name}.pub').read_text()}")
    return file


def by_ssh(keys: Path, name: str) -> tuple[str, ...]:
    """Options of git: sign by the SSH key of this name."""
    return "-c", "gpg.format=ssh", "-c", f"user.signingKey={keys / name}", "-c", "commit.gpgSign=true"


def refused(mirror: Mirror) -> str:
    with pytest.raises(ProvenanceError) as failed:
        mirror.verify(mirror.commit())
    return str(failed.value)


def test_with_allowed_ssh_signers_only_their_commits_are_accepted(
    remote: Remote, source: GitSource, folder: Path, keys: Path
) -> None:
    source = replace(source, verify=Verify(ssh=signers(keys, "ada")))
    good = remote.push("one", *by_ssh(keys, "ada"))
    mirror = fetched(source, folder)
    mirror.verify(good)

    unsigned = remote.push("two")
    mirror.fetch()
    whose = f"commit {unsigned[:10]} of main of {remote.url}, by {ADA}, is not accepted: "
    way_out = "; sign it with a key that verify: in the settings knows"
    assert refused(mirror) == f"{whose}it is not signed{way_out}"

    remote.push("three", *by_ssh(keys, "eve"))
    mirror.fetch()
    assert "it is signed by no key that counts today in" in refused(mirror)

    raw = git(remote.folder, "cat-file", "commit", good).encode() + b"\nsomething else\n"
    forged = git(remote.folder, "hash-object", "-t", "commit", "-w", "--stdin", given=raw)
    git(remote.folder, "push", "--quiet", "--force", "origin", f"{forged}:refs/heads/main")
    mirror.fetch()
    assert mirror.commit() == forged
    assert "it is signed by no key that counts today in" in refused(mirror)

    signers(keys, "ada", 'namespaces="git",valid-before="20200101"')
    fetched(replace(source, ref=good), folder)
    assert "it is signed by no key that counts today in" in refused(Mirror(replace(source, ref=good), folder))
    signers(keys, "ada").unlink()
    assert "there are no keys to compare with" in refused(Mirror(replace(source, ref=good), folder))


@pytest.fixture
def gpg(tmp_path: Path) -> Iterator[Path]:
    """The home of Ada's and Eve's GPG keys."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed")
    home = tmp_path / "g"
    home.mkdir(0o700)
    made = ("--passphrase", "", "--pinentry-mode", "loopback", "--quick-gen-key")
    for name in ("ada", "eve"):
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *made, f"{name}@example.com", "ed25519", "sign"]
        subprocess.run(command, check=True, capture_output=True)
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


def test_with_gpg_keys_only_commits_signed_by_them_are_accepted(
    remote: Remote, source: GitSource, folder: Path, gpg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = gpg / "public.asc"
    command = ["gpg", "--homedir", str(gpg), "--armor", "--output", str(public), "--export", "ada@example.com"]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("GNUPGHOME", str(gpg))  # where Eve's key is known, which must not matter
    source = replace(source, verify=Verify(gpg=public))
    signed = ("-c", "commit.gpgSign=true", "-c")
    remote.push("one", *signed, "user.signingKey=ada@example.com")
    mirror = fetched(source, folder)
    mirror.verify(mirror.commit())
    remote.push("two", *signed, "user.signingKey=eve@example.com")
    mirror.fetch()
    assert "it is signed by no key that counts today in" in refused(mirror)
    remote.push("three")
    mirror.fetch()
    assert "it is not signed" in refused(mirror)
    public.write_text("no key")
    remote.push("four", *signed, "user.signingKey=ada@example.com")
    mirror.fetch()
    assert "gpg cannot read the public keys in" in refused(mirror)

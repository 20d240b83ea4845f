"""Whether a commit is signed by somebody who may: by SSH allowed signers, or by GPG public keys, as they are today."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from licensesync import programs
from licensesync.errors import ProvenanceError
from licensesync.git import said, surroundings
from licensesync.programs import Ended
from licensesync.sources import Verify

PATIENCE = 30.0
HEADERS = (b"gpgsig", b"gpgsig-sha256")
SSH = b"-----BEGIN SSH SIGNATURE-----"
PGP = b"-----BEGIN PGP SIGNATURE-----"
BAD = {"BADSIG", "ERRSIG", "EXPKEYSIG", "EXPSIG", "NO_PUBKEY", "REVKEYSIG"}
"""What GPG reports of a signature that does not count, whatever else it reports.

https://github.com/gpg/gnupg/blob/master/doc/DETAILS
"""


@dataclass(frozen=True, slots=True)
class Signed:
    """A commit without its signature, and the signature; empty if there is none."""

    content: bytes
    signature: bytes


def must_be_good(commit: bytes, verify: Verify) -> None:
    """Raises ProvenanceError unless the commit, as git keeps it, is signed by a key that counts now.

    An expired or revoked key does not count, also where the commit says that it is older: anybody can write a date.
    """
    signed = taken_apart(commit)
    if not signed.signature:
        raise ProvenanceError("it is not signed")
    with TemporaryDirectory(prefix="licensesync-") as folder:
        (Path(folder) / "signature").write_bytes(signed.signature)
        if verify.ssh:
            _must_be_ssh(signed, verify.ssh, Path(folder))
        elif verify.gpg:
            _must_be_gpg(signed, verify.gpg, Path(folder))


def taken_apart(commit: bytes) -> Signed:
    """The commit's content and signature. Raises ProvenanceError if it has several, one of which might be looked at."""
    head, separator, message = commit.partition(b"\n\n")
    kept: list[bytes] = []
    signatures: list[bytes] = []
    for header in _headers(head):
        name, _, value = header.partition(b" ")
        if name in HEADERS:
            signatures.append(value.replace(b"\n ", b"\n") + b"\n")
        else:
            kept.append(header)
    if len(signatures) > 1:
        raise ProvenanceError("it has several signatures")
    return Signed(b"\n".join(kept) + separator + message, b"".join(signatures))


def _headers(head: bytes) -> Iterator[bytes]:
    """The headers, each with the lines that continue it."""
    header = b""
    for line in head.split(b"\n"):
        if line.startswith(b" "):
            header += b"\n" + line
        else:
            if header:
                yield header
            header = line
    yield header


def _must_be_ssh(signed: Signed, signers: Path, folder: Path) -> None:
    if not signed.signature.startswith(SSH):
        raise ProvenanceError("it has no SSH signature")
    _must_be_readable(signers)
    about = ("-f", str(signers), "-s", str(folder / "signature"))
    found = _run(("ssh-keygen", "-Y", "find-principals", *about))
    for principal in found.out.decode("utf-8", "replace").splitlines() if not found.code else ():
        who = ("-I", principal, "-n", "git")
        if not _run(("ssh-keygen", "-Y", "verify", *about, *who), signed.content).code:
            return
    why = said(found.err) or "the signature is not of this commit, or the key has no namespace git"
    raise ProvenanceError(f"it is signed by no key that counts today in {signers} ({why})")


def _must_be_gpg(signed: Signed, keys: Path, folder: Path) -> None:
    if not signed.signature.startswith(PGP):
        raise ProvenanceError("it has no GPG signature")
    _must_be_readable(keys)
    home = folder / "home"
    home.mkdir(0o700)
    gpg = ("gpg", "--no-options", "--homedir", str(home), "--batch", "--no-tty", "--no-autostart", "--status-fd", "1")
    imported = _run((*gpg, "--import", "--", str(keys)))
    if imported.code:
        raise ProvenanceError(f"gpg cannot read the public keys in {keys}: {said(imported.err)}")
    looked = ("--no-auto-key-retrieve", "--trust-model", "always", "--verify", "--", str(folder / "signature"), "-")
    told = _run((*gpg, *looked), signed.content)
    words = [line.split(" ")[1] for line in told.out.decode("utf-8", "replace").splitlines() if _is_status(line)]
    if told.code or BAD & {*words} or [words.count(word) for word in ("NEWSIG", "GOODSIG", "VALIDSIG")] != [1, 1, 1]:
        raise ProvenanceError(f"it is signed by no key that counts today in {keys} ({said(told.err)})")


def _is_status(line: str) -> bool:
    return line.startswith("[GNUPG:] ") and len(line.split(" ")) > 1


def _must_be_readable(file: Path) -> None:
    if not os.access(file, os.R_OK):
        raise ProvenanceError(f"there are no keys to compare with: {file} cannot be read")


def _run(command: Sequence[str], given: bytes = b"") -> Ended:
    environ = {**surroundings(), "LC_ALL": "C"}
    environ.pop("GNUPGHOME", None)
    try:
        return programs.run(command, environ=environ, patience=PATIENCE, given=given)
    except FileNotFoundError:
        raise ProvenanceError(f"there is no program {command[0]} here to look at the signature; install it") from None
    except (OSError, TimeoutError) as error:
        raise ProvenanceError(f"{command[0]}: {error}") from error

"""How the remote of a git source is asked: by which command, with which key, and what to do when it does not answer."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Final

from licensesync import git
from licensesync.errors import ProvenanceError
from licensesync.git import Git, GitFailed, GitLate
from licensesync.sources import GIT_REF_FORM, GitSource

PROTOCOLS: Final = "file:git:http:https:ssh"
SSH: Final = "ssh -o BatchMode=yes"
ASKED: Final = re.compile(GIT_REF_FORM)
LEAST: Final = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--no-recurse-submodules")
COMMIT: Final = re.compile("[0-9a-f]{40}")
VANISHED: Final = "couldn't find remote ref"
WAYS_OUT: Final = (
    (VANISHED, "push it, or write another ref: a branch, a tag or a whole commit id"),
    ("invalid refspec", "write another ref: a branch, a tag or a whole commit id"),
    (r"not our ref|unadvertised object", "the server does not give this commit; push it, or write a branch or a tag"),
    (r"transport '.*' not allowed", "write a url of https, ssh, git or file"),
    (r"[Hh]ost key", "let this user's known_hosts have the key of the host: ssh-keyscan, and compare it"),
    (
        r"Permission denied|[Aa]uthentication|terminal prompts disabled|could not read \w+ for|error: 40[13]",
        "let git have the right to read it: a deploy_key: in the settings, or a credential helper of this user",
    ),
    (r"mismatched algorithms", "only repositories of SHA-1 commits can be read"),
)
TRY: Final = "see whether `git ls-remote` can read it as this user"


class Vanished(ProvenanceError):
    """The remote has answered, and has no such ref (any more)."""


def must_be_askable(ref: str) -> None:
    """Raises ProvenanceError for what a remote cannot be asked for, such as HEAD~1."""
    if not ASKED.fullmatch(ref):
        named = git.said(repr(ref).encode())
        raise ProvenanceError(f"a remote cannot be asked for {named}; write a branch, a tag or a whole commit id")


def fetch(ask: Git, source: GitSource, into: str) -> None:
    """Let the ref `into` be what the remote's ref is now, without its history. Raises GitFailed and ProvenanceError.

    A branch goes before a tag of the same name: often fewer people may push to a branch.
    """
    talk = ask.amid({"GIT_ALLOW_PROTOCOL": PROTOCOLS, **_ssh(ask, source)})
    patience = source.timeout.total_seconds()
    is_plain = source.ref != "HEAD" and not source.ref.startswith("refs/") and not COMMIT.fullmatch(source.ref)
    meant = [f"refs/heads/{source.ref}", source.ref] if is_plain else [source.ref]
    for ref in meant:
        try:
            talk("fetch", *LEAST, "--", source.url, f"+{ref}:{into}", patience=patience)
        except GitFailed as failed:
            if VANISHED not in failed.words or ref == meant[-1]:
                raise
        else:
            return


def explained(failed: GitFailed, source: GitSource) -> ProvenanceError:
    """Why the remote did not answer, and what to do."""
    url = git.without_user(source.url)
    if isinstance(failed, GitLate):
        late = f"{url} did not answer within {source.timeout.total_seconds():g} s"
        return ProvenanceError(f"{late}; see whether it can be reached, or allow more with timeout: in the settings")
    if failed.code is None:
        return failed
    hint = next((hint for pattern, hint in WAYS_OUT if re.search(pattern, failed.words)), TRY)
    kind = Vanished if VANISHED in failed.words else ProvenanceError
    return kind(f"{source.ref} of {url} cannot be fetched: {failed.words}; {hint}")


def _ssh(ask: Git, source: GitSource) -> Mapping[str, str]:
    """The variables by which git calls ssh: with the deploy key alone, else as this user does, but unattended."""
    if key := source.deploy_key:
        if not os.access(key, os.R_OK):
            raise ProvenanceError(f"the deploy key {key} cannot be read; let this user read it, or mend deploy_key:")
        alone = "-o IdentitiesOnly=yes -o BatchMode=yes -o ControlPath=none"  # a shared connection has another key
        return {"GIT_SSH_COMMAND": f"ssh -i {shlex.quote(str(key))} {alone}", "GIT_SSH_VARIANT": "ssh"}
    if source.url.startswith(("http://", "https://", "git://", "file://", "/")):
        return {}
    if {"GIT_SSH_COMMAND", "GIT_SSH"} & ask.environ.keys() or _is_configured(ask):
        return {}
    return {"GIT_SSH_COMMAND": SSH}


def _is_configured(ask: Git) -> bool:
    try:
        return bool(ask("config", "--get", "core.sshCommand").strip())
    except GitFailed:
        return False

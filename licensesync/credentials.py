"""The credentials: from systemd's folder, from files or from the environment, and never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from licensesync.errors import CredentialsError
from licensesync.problems import printable

LONGEST: Final = 64 * 1024
NAMES: Final = ("THINGSPACE_KEY", "THINGSPACE_SECRET", "THINGSPACE_USERNAME", "THINGSPACE_PASSWORD")
CALLBACK_NAMES: Final = ("CALLBACK_USERNAME", "CALLBACK_PASSWORD")
WEBHOOK_NAMES: Final = ("WEBHOOK_URL", "WEBHOOK_TOKEN")
DEPLOY_KEY: Final = "GIT_DEPLOY_KEY"
"""The SSH key for the inventory's repository: a file in any case, which git reads."""
ALL_NAMES: Final = (*NAMES, *CALLBACK_NAMES, *WEBHOOK_NAMES, DEPLOY_KEY)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What ThingSpace wants to know of who calls: the application's key and secret, the user's name and password."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallbackCredentials:
    """What ThingSpace sends along with a callback to show who it is."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebhookCredentials:
    """What a webhook wants: its address where that is a secret, and a bearer token; empty where there is none."""

    url: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def credentials(environ: Mapping[str, str]) -> Credentials:
    """The credentials for ThingSpace. Raises CredentialsError, which names all that are missing or unusable."""
    return Credentials(*_all_of(environ, *NAMES))


def callback_credentials(environ: Mapping[str, str]) -> CallbackCredentials:
    """The credentials of the callback listener. Raises CredentialsError like `credentials`."""
    return CallbackCredentials(*_all_of(environ, *CALLBACK_NAMES))


def webhook_credentials(environ: Mapping[str, str]) -> WebhookCredentials:
    """The credentials of the webhook, none of which must be. Raises CredentialsError for one that is unusable."""
    try:
        return WebhookCredentials(*(_find(name, environ) for name in WEBHOOK_NAMES))
    except _Unusable as why:
        raise CredentialsError(str(why)) from None


def file_of(name: str, environ: Mapping[str, str]) -> Path | None:
    """The file that a credential is read from, whether it is there or not; None where it is the variable `name`."""
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        path = Path(folder) / _file_name(name)
        if _may_exist(path):
            return path
    named = environ.get(f"{name}_FILE")
    return Path(named) if named else None


def files(environ: Mapping[str, str]) -> frozenset[Path]:
    """The files that hold a credential."""
    return frozenset(path for name in ALL_NAMES if (path := file_of(name, environ)))


def _may_exist(path: Path) -> bool:
    """Whether a file is there, or nobody may know: who reads it learns why."""
    try:
        return path.exists()
    except OSError:
        return True


def must_be_usable(name: str, environ: Mapping[str, str]) -> None:
    """Raises CredentialsError for a credential that is missing or cannot be read."""
    _all_of(environ, name)


class _Unusable(Exception):
    """Why a credential cannot be had; says where it was looked for and nothing of what was found."""


def _all_of(environ: Mapping[str, str], *names: str) -> list[str]:
    found: list[str] = []
    unusable: list[str] = []
    missing: list[str] = []
    for name in names:
        try:
            secret = _find(name, environ)
        except _Unusable as why:
            unusable.append(str(why))
        else:
            missing.extend([] if secret else [name])
            found.append(secret)
    if unusable or missing:
        raise CredentialsError("\n".join([*unusable, *([_way_out(missing)] if missing else [])]))
    return found


def _way_out(missing: list[str]) -> str:
    stands, it = ("is", "it") if len(missing) == 1 else ("are", "each")
    files = ", ".join(_file_name(name) for name in missing)
    return (
        f"{', '.join(missing)} {stands} missing; put {it} into the variable of that name, into a file that "
        f"{missing[0]}_FILE names (and so on), or into $CREDENTIALS_DIRECTORY as {files}"
    )


def _find(name: str, environ: Mapping[str, str]) -> str:
    """The credential, or an empty text if it is nowhere."""
    if path := file_of(name, environ):
        return _from_file(path, name)
    return _fit(environ.get(name, ""), f"the variable {name}")


def _file_name(name: str) -> str:
    return name.lower().replace("_", "-")


def _from_file(path: Path, name: str) -> str:
    where = f"{name}: the file {printable(str(path))}"
    try:
        with path.open("rb") as file:
            written = file.read(LONGEST + 1)
    except OSError as error:
        raise _Unusable(f"{where} cannot be read: {error.strerror or 'the path is not usable'}") from None
    if len(written) > LONGEST:
        raise _Unusable(f"{where} is too large for a credential; put the credential alone into it")
    try:
        secret = written.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _Unusable(f"{where} is not UTF-8; save it as UTF-8") from None
    if not secret.strip():
        raise _Unusable(f"{where} is empty; put the credential into it")
    return _fit(secret, where)


def _fit(secret: str, where: str) -> str:
    if any(char < " " or char == "\x7f" for char in secret):
        raise _Unusable(f"{where} holds a newline or a control character; put the credential alone into it")
    if any(
        "\ud800" <= char <= "\udfff" for char in secret
    ):  # bytes that are no text, as Python keeps them in variables
        raise _Unusable(f"{where} is not UTF-8; write it as UTF-8")
    return secret.strip() and secret

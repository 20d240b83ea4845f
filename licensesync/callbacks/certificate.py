"""The listener's certificate: what its files hold at the moment, so that a renewed one needs no restart."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import structlog

from licensesync.callers import Tls
from licensesync.errors import LicenseSyncError

Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificate:
    """The server's side of TLS. Raises LicenseSyncError if at the start the files cannot be used."""

    def __init__(self, files: Tls) -> None:
        self._files = files
        self._stamp = _stamp(files)
        self._context = _context(files)

    def __call__(self) -> ssl.SSLContext:
        """For the next connection: if new files cannot be used, what the last good ones held stays in force."""
        stamp = _stamp(self._files)
        if stamp != self._stamp:
            self._stamp = stamp
            self._renew()
        return self._context

    def _renew(self) -> None:
        log: Any = structlog.get_logger()
        try:
            self._context = _context(self._files)
        except LicenseSyncError as error:
            log.warning("callback.certificate-kept", problem=str(error))
        else:
            log.info("callback.certificate-renewed", certificate=str(self._files.certificate))


def _stamp(files: Tls) -> Stamp:
    """Changes when one of the files does."""
    return tuple(_stamp_of(path) for path in (files.certificate, files.key))


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _context(files: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (files.certificate, files.key):
        _must_be_readable(path)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError) as error:
        why = (error.reason if isinstance(error, ssl.SSLError) else "") or "they are not PEM"
        raise LicenseSyncError(
            f"callbacks.tls: {files.certificate} and {files.key} are no certificate and its key ({why}); "
            "write PEM files that belong together, the key without a password"
        ) from None
    return context


def _must_be_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise LicenseSyncError(
            f"callbacks.tls: {path} cannot be read: {error.strerror}; let the user who runs this read it"
        ) from None


def _no_password() -> str:
    """Nobody is asked for a password: OpenSSL itself would do so, at the terminal."""
    raise ValueError

"""Logins that the service rejected, known by a keyed fingerprint: five in a row lock the user."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from licensesync.errors import LedgerError
from licensesync.ledger import database
from licensesync.ledger.schema import keys, rejected_logins

MOST_REJECTIONS = 2
_SLOW = {"n": 2**14, "r": 8, "p": 1, "dklen": 16}  # who has the ledger should not find the password by trying words


class RejectedLogins:
    """What a ledger remembers of some logins; `secrets` has for each login what it is known by. It need not exist.

    The ledger is opened for moments only: any command may ask, whether a run goes on or not.
    """

    def __init__(self, path: Path, secrets: Mapping[str, str]) -> None:
        self._path = path
        self._secrets = secrets
        self._rejected_before: set[str] = set()

    def forbidden_since(self, login: str) -> datetime | None:
        """When the login was rejected for the second time in a row, or None if it may be tried. Raises LedgerError."""
        with database.read(self._path) as connection:
            if connection is None or connection.execute(_ANY).first() is None:
                return None
            of_login = rejected_logins.c.fingerprint == self._fingerprint(connection, login)
            row = connection.execute(select(rejected_logins).where(of_login)).one_or_none()
        if row is None:
            return None
        self._rejected_before.add(login)
        rejected_at: datetime = row.rejected_at
        return rejected_at if row.rejections >= MOST_REJECTIONS else None

    def rejected(self, login: str, at: datetime) -> bool:
        """Whether the rejection is remembered: not by a ledger that cannot be written, or is not there."""
        if not os.path.exists(self._path):
            return False
        with suppress(LedgerError), database.written(self._path) as connection, connection.begin():
            known = insert(rejected_logins).values(
                fingerprint=self._fingerprint(connection, login), rejections=1, rejected_at=at
            )
            again = {"rejections": rejected_logins.c.rejections + 1, "rejected_at": at}
            connection.execute(known.on_conflict_do_update(index_elements=["fingerprint"], set_=again))
            return True
        return False

    def accepted(self, login: str) -> None:
        """The service accepted the login: the next rejection is the first one again."""
        if login not in self._rejected_before:
            return
        self._rejected_before.discard(login)
        with suppress(LedgerError), database.written(self._path) as connection, connection.begin():
            of_login = rejected_logins.c.fingerprint == self._fingerprint(connection, login)
            connection.execute(delete(rejected_logins).where(of_login))

    def _fingerprint(self, connection: Connection, login: str) -> str:
        key = connection.execute(_KEY).scalar_one()
        secret = f"{login}\n{self._secrets[login]}".encode()
        return hashlib.scrypt(secret, salt=key, **_SLOW).hex()


_ANY = select(rejected_logins).limit(1)
_KEY = select(keys.c.value).where(keys.c.name == "fingerprint")

"""What can stop a pool, a run or the program; each message ends with what to do where that is known."""

from __future__ import annotations

from collections.abc import Sequence

from licensesync.model import OutcomeReason, Problem, Reading


class LicenseSyncError(Exception):
    """The base of everything that this program raises on purpose."""


class ProblemsError(LicenseSyncError):
    """Something that people wrote cannot be used. `.problems` has each problem with its place, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class SettingsError(ProblemsError):
    """The settings file cannot be used."""


class InventoryError(ProblemsError):
    """The inventory cannot be used."""


class CredentialsError(LicenseSyncError):
    """A credential is missing or cannot be read; the message names all of them and never their contents."""


class ProvenanceError(LicenseSyncError):
    """The inventory cannot be had from where the settings say."""


class LedgerError(LicenseSyncError):
    """The ledger cannot be used: nothing may be written to the service that could not be recorded."""


class Locked(LicenseSyncError):
    """Another run holds the ledger's lock; the message says who, and since when."""


class IncompleteObservation(LicenseSyncError):
    """A pool was not read whole; `.reading` says whether any of it was read."""

    def __init__(self, message: str, reading: Reading = Reading.PARTIAL) -> None:
        super().__init__(message)
        self.reading = reading


class BatchRejected(LicenseSyncError):
    """The service did nothing because it rejects the batch as a whole, perhaps for one of its devices.

    `.reason` is what it means for the device of a batch of one.
    """

    def __init__(self, message: str, reason: OutcomeReason | None = None) -> None:
        super().__init__(message)
        self.reason = reason or OutcomeReason.REJECTED_BY_SERVICE


class ApiError(LicenseSyncError):
    """The service did not do what was asked. `status` is the HTTP status, None where there was no answer."""

    transient = False
    leaves_write_unknown = False
    word = "rejected"
    """What metrics call it."""

    def __init__(
        self, message: str, *, status: int | None = None, code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class Unauthorized(ApiError):
    """The bearer or the session is not accepted, even after one fresh login."""

    word = "unauthorized"


class StaleBearer(Unauthorized):
    """The OAuth token is not accepted (any more)."""


class StaleSession(Unauthorized):
    """The VZ-M2M session is not accepted (any more)."""


class LoginRejected(Unauthorized):
    """The service rejects the credentials: no further login is tried with them."""

    word = "login-rejected"


class LoginSpent(Unauthorized):
    """This client has made its one login, which is not good (any more): nothing was sent."""

    word = "login-spent"


class LoginUnavailable(ApiError):
    """There is no login for the moment; what was to be asked with it was not sent."""

    transient = True
    word = "login-unavailable"


class RequestRejected(ApiError):
    """The service understood and says no: asking again will not help."""


class NoSuchResource(RequestRejected):
    """The service knows no such address: the call may have another form there."""

    word = "not-found"


class RateLimited(ApiError):
    """Too many requests; nothing was done."""

    transient = True
    word = "rate-limited"


class ServerBroken(ApiError):
    """The service failed (5xx); whether a write took effect is not known."""

    transient = True
    leaves_write_unknown = True
    word = "server-broken"


class Unreachable(ApiError):
    """No answer; whether a write took effect is not known."""

    transient = True
    leaves_write_unknown = True
    word = "unreachable"


class Unconnected(Unreachable):
    """There was not even a connection: nothing was sent."""


class UnexpectedReply(ApiError):
    """Success around a body that is not the documented one; whether a write took effect is not known."""

    transient = True
    leaves_write_unknown = True
    word = "unexpected-reply"

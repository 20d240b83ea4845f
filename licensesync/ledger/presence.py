"""Whether there is a ledger."""

from __future__ import annotations

from pathlib import Path

from licensesync.errors import LedgerError


def exists(path: Path) -> bool:
    """Whether there is a ledger. Raises LedgerError where this user may not know."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be opened: {error.strerror}; see that this user may") from error
    return True

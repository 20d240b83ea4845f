"""What is kept: runs, outcomes, what was ever managed, quarantine, refusals, approvals in use, the lock."""

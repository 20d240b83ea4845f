"""`serve`: the daemon."""

from __future__ import annotations

import typer


def serve(context: typer.Context) -> None:
    """Run as a service: reconcile on schedule, follow changes, show health, metrics and status."""
    import asyncio
    import os
    from pathlib import Path

    from licensesync import settings
    from licensesync.cli import composition
    from licensesync.daemon import runtime, serving
    from licensesync.exit_codes import ExitCode

    composition.configure_journal(context.obj)
    found = settings.load(settings.find(context.obj.settings, os.environ, Path.cwd()))
    runtime.settle()
    in_order = asyncio.run(serving.serve(found, os.environ))
    raise typer.Exit(ExitCode.FINE if in_order else ExitCode.UNUSABLE)

"""Keeps the licenses of a ThingSpace account in step with a YAML inventory in git."""

__version__ = "0.1.0"

"""The way in: what ThingSpace tells of its own accord."""

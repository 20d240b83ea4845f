"""A ThingSpace in memory, for tests, demonstrations and drills. It is not Verizon."""

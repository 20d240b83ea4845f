"""Programs that the benchmark starts as processes of their own; each prints one JSON document."""

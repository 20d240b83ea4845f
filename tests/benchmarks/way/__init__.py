"""The parts of the benchmark of the whole way, each a module, and what they measure with."""

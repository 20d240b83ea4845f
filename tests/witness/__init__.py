"""The vendor's own SDK against the simulator."""

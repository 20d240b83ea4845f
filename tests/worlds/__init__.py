"""Simulated worlds: a fleet, its operator and their misfortunes, by one seed, without sockets and in virtual time."""

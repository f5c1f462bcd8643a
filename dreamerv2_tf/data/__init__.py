"""Collecting and keeping experience: driver, replay, counters."""

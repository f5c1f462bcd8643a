"""Loops that put agent, environments and files together."""

"""Sweeps: a grid of settings, each with several seeds, run as trials."""

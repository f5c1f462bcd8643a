"""Looks at machine, packages and settings before a run: `examine.run`.

Each module looks at one thing and returns checks: `packages`, `machine`,
`storage`, `rendering`, `task`. `measure` runs the parts of a run for some
seconds in a folder of its own; `forecast` is the arithmetic from there to the
memory, the disk and the time of the whole run.
"""

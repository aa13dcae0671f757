"""Breaks a running cluster on purpose, then looks whether every promise held.

What is done to whom (`faults`) and what the outcome means (`verdict`) are pure; `attack` does it, and measures how
long the others were held up. `testbed` is a cluster of its own with a feed (`feed`) whose every point can be told from
all others: what is on the disks in the end is counted, not asked of those who were attacked. ``streammac chaos`` runs
it all, and `report` prints what it came to.
"""

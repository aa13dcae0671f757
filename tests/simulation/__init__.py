"""Deterministic simulation: the real state machines under a seeded scheduler, with every kind of fault.

What runs here is `streammac.ring`, as it is. What is simulated is everything that it knows nothing of:
time, threads, sockets and disks. One seed decides who dies when and which message is late; the same seed tells
the same story again, so that whatever goes wrong once can be looked at as often as one likes.

==================  ================================================================================
module              its idea
==================  ================================================================================
``kernel``          virtual time, processes that die and hang, the trace
``network``         connections that keep order, break, and lose what was on them
``visits``          a model that is nothing but the list of its visits
``coordinator``     a process round the real `Coordinator`
``worker``          a process round the real `Member`
``cluster``         all of them, and what can happen to them
``story``           from a seed: how large, how fast, and which faults when
``ring_rules``      what must hold at any time
``mutations``       deliberate bugs, to see that the rules find them
``regressions``     seeds that found a bug once
``runner``          many seeds on all cores; one seed again, with its trace
==================  ================================================================================

``python -m tests.simulation`` runs it; docs/simulation.md tells how to read what it prints.
"""

"""Deterministic simulation: the real state machines under a seeded scheduler, with every kind of fault.

What runs here are `streammac.ring`, `streammac.delivery`, `streammac.store` and the ingest node's `Outbox`, as they
are. What is simulated is everything that they know nothing of: time, threads, sockets, and disks that fail. One seed
decides who dies when and which message is late; the same seed tells the same story again, so that whatever goes wrong
once can be looked at as often as one likes.

==================  ================================================================================
module              its idea
==================  ================================================================================
``kernel``          virtual time, processes that die and hang, the trace
``network``         connections that keep order, break, and lose what was on them
``visits``          a model that is nothing but the list of its visits
``coordinator``     a process round the real `Coordinator`
``worker``          a process round the real `Member`
``store``           a worker's real shard on a disk that tears, fills up and loses power
``moving``          what a worker's real mover is connected to, and its ledger
``ingest``          a process round the real `Outbox`, and its client
``cluster``         all of them, and what can happen to them
``story``           from a seed: how large, how fast, and which faults when
``ring_rules``      what must hold in the ring at any time
``point_rules``     what must hold of points at any time
``mutations``       deliberate bugs, to see that the rules find them
``regressions``     seeds that found a bug once
``runner``          many seeds on all cores; one seed again, with its trace
==================  ================================================================================

``python -m tests.simulation`` runs it; docs/simulation.md tells how to read what it prints.
"""

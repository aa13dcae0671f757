"""How fast a ring of P workers would be, before there is one: epoch time, speed-up, refresh time, traffic.

``streammac plan`` asks here. Two models of the same ring are put beside each other, with the same constants:

==================  ======================================================================================
module              its idea
==================  ======================================================================================
``workload``        what is to be trained, and in which blocks
``constants``       what a visit, the Z step and a hop cost: values, and the file they are kept in
``calibration``     these constants, measured on this machine with the real model
``hops``            what a hop costs between two ends of a real transport
``formulas``        the paper's runtime model (ParMAC, section 4)
``discrete_event``  the real state machines of the ring in virtual time
``outlook``         both for some numbers of workers
==================  ======================================================================================
"""

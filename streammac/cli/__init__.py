"""The command line: `app` is its root and runs clusters and single processes; the others hang commands into it.

Modules import what they need when a command runs: ``streammac --help`` must not wait for numpy.
"""

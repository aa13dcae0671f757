"""The command line: `app` is its root, and the other modules hold one command or group of commands each.

This is where everything is put together: only commands import the packages `workers` and `ingest`. Modules import what
they need when a command runs, because ``streammac --help`` must not wait for numpy.
"""

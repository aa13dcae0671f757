"""What a terminal shows of a cluster: `health` reads a status, `render` draws it, `live_view` keeps it up to date.

`summary` is what is left when a run has ended. The same facts as on the live page (`streammac.page`).
"""

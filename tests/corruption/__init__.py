"""Damage to any file of a run directory: the next start loses nothing, or says what it lost.

`made` lets a real cluster fill a small directory, `damages` names what may happen to its files, and
`revival` starts on it what `streammac up` starts. `python -m tests.corruption --damages 2000` is the hunt.
"""

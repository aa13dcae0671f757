"""Whether the files of a run directory are as they were written: what ``streammac check`` looks at, and what it mends.

`directory.check` goes through all of it; each kind of file has a module of its own. A check changes nothing. A repair
never makes worse what it finds: what it replaces it keeps beside, and it says what is lost.
"""

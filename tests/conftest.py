"""What holds for all tests: on a busy machine an example may take long, and is no worse for it."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

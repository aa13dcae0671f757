"""The version of streammac, where everything can import it."""

__version__ = "0.1.0"

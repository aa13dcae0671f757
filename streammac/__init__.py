"""Nested models trained continuously on live data, on an elastic ring of workers (ParMAC)."""

__version__ = "0.1.0"

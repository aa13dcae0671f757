"""Feeds: one small interface, a module for each kind, a registry by URI, a conformance suite."""

from ingest.sources.base import Source, SourceError
from ingest.sources.registry import open_source

__all__ = ["Source", "SourceError", "open_source"]

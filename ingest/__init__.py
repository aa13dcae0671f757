"""The ingest node: sources, validation, routing, flow control and dead letters."""

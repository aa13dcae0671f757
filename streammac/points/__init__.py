"""Points on their way, and the names of their batches: what store, wire, delivery and ingest share."""

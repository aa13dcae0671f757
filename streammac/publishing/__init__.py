"""From finished epochs to published versions: measured on held-out points, written, promoted, exported."""

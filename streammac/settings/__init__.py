"""Settings: their schema, where they come from, and how they are shown."""

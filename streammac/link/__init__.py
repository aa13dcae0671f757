"""How a process or a command reaches the coordinator, and what it serves over HTTP itself."""

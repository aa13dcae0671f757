"""What crosses a socket: message types, their encoding and its limits."""

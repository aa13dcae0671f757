"""The coordinator's process: sockets, clock, files and HTTP round `streammac.coordinator`."""

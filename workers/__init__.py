"""The worker and coordinator processes: sockets, threads and clocks round the ring protocol."""

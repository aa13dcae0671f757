"""What processes tell about themselves: metrics for Prometheus, and logs."""

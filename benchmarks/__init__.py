"""Every figure that is published, each by one command: ``python -m benchmarks`` lists them."""

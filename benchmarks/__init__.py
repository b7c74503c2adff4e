"""What the speed claims rest on: each module but the shared ones is `python -m benchmarks.NAME`."""

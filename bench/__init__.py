"""Benchmarks: `bench.micro` measures pieces, `bench.system` whole nodes beside the yardsticks."""

"""Benchmarks: `python -m benchmarks.<name>`. They write JSON or tables with provenance and print one table last."""

"""The parts of `benchmarks.live`: tasks, strategies as processes of their own, what they reached, tables."""

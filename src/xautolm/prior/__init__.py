"""What a run believes before its first trial: the probabilistic model, and the experience that warms it."""

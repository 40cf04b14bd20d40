"""One pipeline, evaluated in an isolated process: limits, caches, training, scores, failures."""

"""Replay of search strategies on recorded fine-tunes, in simulated time."""

"""The conditional search space: models, methods, hyperparameters, and what can fit."""

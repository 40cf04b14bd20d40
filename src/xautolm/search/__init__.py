"""The search: budgets, proposals, the Optuna samplers around them, and the ask-evaluate-tell loop."""

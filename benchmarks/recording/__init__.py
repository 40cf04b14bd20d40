"""The recorded benchmark: the same seeded uniform pipelines, really fine-tuned on every task, failures included."""

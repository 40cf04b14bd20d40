"""The same fine-tunes done by the Trainer of transformers and by this project."""

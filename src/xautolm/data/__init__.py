"""Load: file, folder or hub id -> `Task`, and what there is to say about the data."""

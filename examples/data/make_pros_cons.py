"""Cuts `pros_cons.csv` from the training file of the shared data set `pros_cons`.

Usage: python examples/data/make_pros_cons.py TRAIN.jsonl.gz
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import sys
from pathlib import Path

N_ROWS = 3000
SEED = 0


def main(source: str) -> None:
    """Draw the rows with a fixed seed, keep their order, write them beside this file."""
    with gzip.open(source, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    kept = sorted(random.Random(SEED).sample(range(len(rows)), N_ROWS))
    with (Path(__file__).parent / "pros_cons.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows([rows[i]["text"], rows[i]["label"]] for i in kept)


if __name__ == "__main__":
    main(sys.argv[1])

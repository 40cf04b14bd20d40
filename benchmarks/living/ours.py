"""`xautolm fit` as it runs when it is not told otherwise: `python -m benchmarks.living.ours ORDERS`, warm or cold.

Its budget is what is left after its imports. Out of it `fit` pays for everything it does: profile, baselines, exports,
its report, and the seconds that it keeps for these at the end. The test rows stay with the benchmark; `fit` gets a few
validation rows in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.living.child import Orders, receive
from benchmarks.living.subjects import KIND


def fields_of(orders: Orders) -> Mapping[str, Any]:
    """The settings of the run: the data, the time, the store; everything else is left at its default.

    The store is empty and the run's own, so that a warm run knows nothing but the starter store.
    """
    rows = Path(orders.rows)
    return {
        "data": str(rows / "train.jsonl"),
        "valid": str(rows / "validation.jsonl"),
        "test": str(rows / "stand-in.jsonl"),
        "task": KIND,
        "text": "text",
        "target": "label",
        "column": {"text_pair": "text_pair"} if orders.has_pairs else {},
        "budget": f"{max(orders.remaining_s, 1.0):.1f}s",
        "device": "cpu",
        "store": f"sqlite:///{Path(orders.folder).resolve() / 'experiences.db'}",
        "prior": "learned" if orders.is_warm else "none",
        "starter": orders.is_warm,
        "exclude_dataset": orders.exclude if orders.is_warm else (),
        "seed": orders.seed,
    }


def main(orders: Orders) -> None:
    """Search.

    Raises:
        XAutoLMError: no trial worked.
    """
    from xautolm.config import make_settings
    from xautolm.run import fit

    fit(make_settings(fields_of(orders)), orders.run)


if __name__ == "__main__":
    main(receive())

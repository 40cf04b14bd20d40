import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # `benchmarks` is not installed

from benchmarks.recording.space import recorded_space
from xautolm.space.params import Space


@pytest.fixture(scope="session")
def space() -> Space:
    return recorded_space()

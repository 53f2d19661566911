"""The tests of this folder need a CUDA device; CLONECOST_GPU_TESTS_ON=cpu rehearses them without.

`python -m experiments.paper_scale` runs them before its jobs, in 90 seconds at most.
"""

import os
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
ELSEWHERE = os.environ.get("CLONECOST_GPU_TESTS_ON", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where no device is."""
    skip = pytest.mark.skip(
        reason="no CUDA device; CLONECOST_GPU_TESTS_ON=cpu rehearses on the CPU"
    )
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            # a card is lent for minutes: a warning of its build of torch is shown and no failure
            item.add_marker(pytest.mark.filterwarnings("default"))
            if not (ELSEWHERE or torch.cuda.is_available()):
                item.add_marker(skip)


@pytest.fixture
def device() -> torch.device:
    if ELSEWHERE == "elsewhere":
        pytest.skip("a pretended device has tests of its own")
    return torch.device(ELSEWHERE or "cuda")

"""A served toy in a process of its own, whose memory is measured.

`python -m tests.support.attacked_server`: it prints its address, serves until its standard input
ends, and prints the memory in bytes that it had at the start and at most.
"""

import os
import signal
import sys
import threading

import torch
from tests.support.memory import peak_of_process
from torch import Tensor

from clonecost.serving import Limits, ServedModel, address_of, bind, make_app, run
from clonecost.types import PredictionApi

SHAPE = (3, 32, 32)
CLASSES = 10
TIMEOUT = 2.0


def brightness(inputs: Tensor, /) -> Tensor:
    """Answers that tell one row from another."""
    first = inputs.flatten(1).mean(1, keepdim=True)
    return torch.cat([first, (1 - first).expand(-1, CLASSES - 1) / (CLASSES - 1)], dim=1)


def main() -> None:
    """Serve until standard input ends."""
    torch.set_num_threads(1)
    api = PredictionApi(input_shape=SHAPE, num_classes=CLASSES)
    model = ServedModel(name="toy", victim=brightness, api=api)
    limits = Limits(timeout=TIMEOUT, max_connections=120)
    model(torch.zeros(1, *SHAPE))
    before = peak_of_process(forget=True)

    def stop() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGINT)

    with bind("127.0.0.1", 0) as listening:
        print(address_of(listening), flush=True)
        threading.Thread(target=stop, daemon=True).start()
        run(make_app(model, limits), listening, limits)
    print(before, peak_of_process(), flush=True)


if __name__ == "__main__":
    main()

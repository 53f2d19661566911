"""Batches in their order; rows that are no tensor are read in another thread."""

import threading

import torch
from torch import Tensor

from clonecost.data.part_rows import PartRows
from clonecost.training.distill import Recipe, distill
from clonecost.training.read_ahead import batches_of


class Noted:
    """Rows that note the thread that reads them."""

    def __init__(self, rows: Tensor) -> None:
        self.rows, self.threads = rows, set[str]()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.rows.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        self.threads.add(threading.current_thread().name)
        return self.rows[index]


def test_rows_come_in_order_from_a_thread_of_their_own() -> None:
    rows, order = torch.rand(20, 3), list(torch.randperm(20).split(6))
    noted = Noted(rows)
    found = list(batches_of(noted, order, "cpu"))
    assert all(torch.equal(batch, rows[index]) for index, batch in found)
    assert [index.tolist() for index, _ in found] == [index.tolist() for index in order]
    assert all(name.startswith("read-ahead") for name in noted.threads)
    assert list(batches_of(noted, [], "cpu")) == []


def test_a_student_of_rows_that_are_read_is_that_of_a_tensor() -> None:
    inputs, answers = torch.rand(60, 1, 4, 4), torch.rand(60, 3).softmax(1)
    answers[5] = 0  # a refused row
    students = []
    for rows in (inputs, PartRows(inputs, torch.arange(60))):
        torch.manual_seed(0)
        layer = torch.nn.Linear(16, 3)
        student = torch.nn.Sequential(torch.nn.Flatten(), layer)
        recipe = Recipe(epochs=3, batch_size=16, validation=0.2, augment="none")
        distill(student, rows, answers, recipe, rng=torch.Generator().manual_seed(0))
        students.append(layer.weight)
    assert torch.equal(students[0], students[1])

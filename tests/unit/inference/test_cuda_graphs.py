"""Which sizes of batches there are, and how rows are dealt out to them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.cuda_graphs import batches, buckets, filled_up


@pytest.mark.parametrize(
    ("max_batch", "expected"),
    [(1, (1,)), (2, (1, 2)), (4, (1, 2, 4)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8)), (16, (1, 2, 4, 8, 16))],
)
def test_on_a_gpu_there_are_few_sizes(max_batch: int, expected: tuple[int, ...]) -> None:
    assert buckets("cuda", max_batch) == expected


def test_on_a_cpu_nothing_is_filled_up() -> None:
    assert buckets("cpu", 8) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert [tuple(each) for each in batches(11, buckets("cpu", 8))] == [(0, 8, 8), (8, 3, 3)]


def test_the_rest_goes_into_the_smallest_size_that_holds_it() -> None:
    sizes = (1, 2, 4, 8, 16)
    assert [tuple(each) for each in batches(21, sizes)] == [(0, 16, 16), (16, 5, 8)]
    assert [tuple(each) for each in batches(2, sizes)] == [(0, 2, 2)]
    assert list(batches(0, sizes)) == []


@given(rows=st.integers(0, 200), max_batch=st.integers(1, 40), device=st.sampled_from(["cpu", "cuda"]))
def test_every_row_runs_once_and_in_order(rows: int, max_batch: int, device: str) -> None:
    sizes = buckets(device, max_batch)
    dealt = list(batches(rows, sizes))
    assert [row for first, count, _ in dealt for row in range(first, first + count)] == list(range(rows))
    assert all(count <= size and size in sizes for _, count, size in dealt)
    assert all(count == size for _, count, size in dealt) or device == "cuda"
    assert sum(size for _, _, size in dealt) <= max(2 * rows, 1)


def test_filling_up_keeps_the_rows_and_adds_zeros() -> None:
    tensor = torch.arange(6.0).reshape(3, 2)
    assert filled_up(tensor, 3) is tensor
    assert filled_up(tensor, 5).tolist() == [[0, 1], [2, 3], [4, 5], [0, 0], [0, 0]]

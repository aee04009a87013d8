"""The fault matrix: every cell, row by row."""

from tests.chaos.client_cells import CLIENT_CELLS
from tests.chaos.store_cells import STORE_CELLS
from tests.chaos.triton_cells import TRITON_CELLS
from tests.chaos.vendor_cells import VENDOR_CELLS

CELLS = (*VENDOR_CELLS, *TRITON_CELLS, *STORE_CELLS, *CLIENT_CELLS)

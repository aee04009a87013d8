"""The page of the fault matrix is what the cells say."""

from tests.chaos.matrix import CELLS
from tests.chaos.table import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.chaos.table`"


def test_every_cell_has_a_name_of_its_own() -> None:
    assert len({cell.id for cell in CELLS}) == len(CELLS)

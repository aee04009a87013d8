"""A decoded region equals that part of the whole face, for any region."""

from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from inference.config import FACE_SIZE, NANO
from inference.decoder import WHOLE_FACE, Region, RegionDecoder
from inference.networks import build_vae

edges = st.tuples(st.integers(0, FACE_SIZE), st.integers(0, FACE_SIZE)).filter(lambda pair: pair[0] < pair[1])


@pytest.fixture(scope="module")
def vae() -> nn.Module:
    torch.manual_seed(0)
    return cast(nn.Module, build_vae(NANO))


@pytest.fixture(scope="module")
def face(vae: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    latents = torch.randn(1, 4, 32, 32)
    with torch.inference_mode():
        return latents, vae.get_submodule("decoder")(latents)


def test_the_whole_face_is_diffusers_own(vae: nn.Module, face: tuple[torch.Tensor, torch.Tensor]) -> None:
    latents, expected = face
    with torch.inference_mode():
        assert (RegionDecoder(vae).decode(latents, WHOLE_FACE) - expected).abs().max() <= 1e-5


@settings(max_examples=25, deadline=None)
@given(rows=edges, columns=edges)
def test_a_region_equals_that_part_of_the_whole(
    vae: nn.Module, face: tuple[torch.Tensor, torch.Tensor], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    latents, expected = face
    with torch.inference_mode():
        part = RegionDecoder(vae).decode(latents, Region(*rows, *columns))
    assert part.shape == (1, 3, rows[1] - rows[0], columns[1] - columns[0])
    assert (part - expected[:, :, slice(*rows), slice(*columns)]).abs().max() <= 1e-5

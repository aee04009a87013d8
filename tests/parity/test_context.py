"""Features of short spans against those of 30 s: the real Whisper encoder on real speech, by the benchmark's code."""

import pytest
import torch

from avatar_service.stages.spans import DEFAULT_POLICY
from benchmarks.context import Contexts, Likeness, speak
from inference.config import MUSETALK_V10, MUSETALK_V15, NANO, Positions
from inference.weights import NANO_DIR, Model


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    with torch.inference_mode():
        model = Model.load(NANO_DIR, torch.device("cpu"))
        return Contexts(model, speak("Maybe you have heard of the old bridge? Five boats passed below it."))


@torch.inference_mode()
def likeness(contexts: Contexts, positions: Positions) -> Likeness:
    return contexts.likeness(contexts.cut(DEFAULT_POLICY, positions))


def test_a_usual_span_in_its_true_place_is_close_to_30_s(contexts: Contexts) -> None:
    """Measured over these 4 s: cosine 0.968, relative L2 0.238, raw cosine 0.965; over 20 s 0.99, 0.14, 0.97."""
    found = likeness(contexts, "true")
    assert found.cosine >= 0.95
    assert found.l2 <= 0.30
    assert found.raw_cosine >= 0.94


def test_a_span_that_is_numbered_from_0_is_far_from_30_s(contexts: Contexts) -> None:
    """So the published weights, which know whole clips alone, get true places; nano was trained on spans."""
    assert likeness(contexts, "span").l2 > 2 * likeness(contexts, "true").l2
    assert (MUSETALK_V15.positions, MUSETALK_V10.positions, NANO.positions) == ("true", "true", "span")

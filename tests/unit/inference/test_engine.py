"""The engine: which frames it paints, that batches do not mix, that one bad request fails alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle, save_bundle
from inference.config import FACE_SIZE, START_MEL_MAX
from inference.engine import Engine, EngineSettings
from inference.painter import MouthPainter
from inference.requests import RenderError, RenderResult
from tests.inference_data import BOX, FRAME_SIZE, SMALL, request, write_avatar, write_weights


def rendered(engine: Engine, *requests: object) -> list[RenderResult]:
    """The results, all of which must be there."""
    answers = engine.render(requests)  # type: ignore[arg-type]  # each is a RenderRequest
    assert all(isinstance(answer, RenderResult) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, RenderResult)]


def pixels(frame: bytes) -> NDArray[np.int16]:
    """A raw frame's pixels."""
    return np.frombuffer(frame, np.uint8).reshape(FRAME_SIZE, FRAME_SIZE, 3).astype(np.int16)


def source(avatars_dir: Path, avatar: str, frame: int) -> NDArray[np.int16]:
    return AvatarBundle.load(avatars_dir / avatar.partition("@")[0]).image(frame).astype(np.int16)


def test_a_request_returns_one_jpeg_of_the_avatars_size_per_frame(engine: Engine, ada: str) -> None:
    (result,) = rendered(engine, request(ada))
    assert [simplejpeg.decode_jpeg_header(frame)[:2] for frame in result.frames] == [(FRAME_SIZE, FRAME_SIZE)] * 4
    assert result.rendered == 4


def test_raw_frames_are_rgb_and_differ_from_the_source_under_the_mask_only(
    engine: Engine, ada: str, avatars_dir: Path
) -> None:
    (result,) = rendered(engine, replace(request(ada, (1.0,)), format="raw"))
    changed = np.any(pixels(result.frames[0]) != source(avatars_dir, ada, 0), axis=2)
    x1, y1, _, _ = BOX
    rows, columns = np.nonzero(changed)
    assert changed.mean() > 0.05
    assert rows.min() >= y1 + 140
    assert rows.max() < y1 + 240
    assert columns.min() >= x1 + 60
    assert columns.max() < x1 + 200


def test_weight_zero_returns_the_source_jpeg_and_runs_no_network(
    engine: Engine, ada: str, avatars_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("the U-Net ran")

    monkeypatch.setattr(MouthPainter, "denoise", forbidden)
    idle = replace(request(ada, (0.0,) * 6), audio=np.zeros(0, np.int16))
    (result,) = rendered(engine, idle)
    bundle = AvatarBundle.load(avatars_dir / "ada")
    assert result.frames == tuple(bundle.frames[i] for i in (0, 1, 2, 3, 2, 1))  # ping-pong, turning frames once
    assert (result.rendered, result.mel_max) == (0, START_MEL_MAX)


def test_only_frames_with_a_weight_are_painted(engine: Engine, ada: str) -> None:
    (result,) = rendered(engine, request(ada, (0.0, 0.5, 1.0, 0.0)))
    assert result.rendered == 2


def test_half_weight_lies_between_the_source_and_the_painted_frame(engine: Engine, ada: str, avatars_dir: Path) -> None:
    full, half = (
        pixels(rendered(engine, replace(request(ada, (weight,)), format="raw"))[0].frames[0]) for weight in (1.0, 0.5)
    )
    still = source(avatars_dir, ada, 0)
    assert np.abs(half - (still + full) / 2).max() <= 1.0
    assert np.abs(full - still).max() > 20


def test_a_frame_does_not_depend_on_its_batch(engine: Engine, ada: str, bo: str) -> None:
    requests = [
        request(ada, (1.0,) * 8, seed=1),
        request(bo, (1.0, 0.4, 0.0), seed=2),
        request(ada, (1.0,) * 4, seed=3),
    ]
    requests = [replace(each, format="raw") for each in requests]
    alone = [rendered(engine, each)[0] for each in requests]
    for together, single in zip(rendered(engine, *requests), alone, strict=True):
        assert together.rendered == single.rendered
        assert together.mel_max == pytest.approx(single.mel_max, abs=1e-5)
        for a, b in zip(together.frames, single.frames, strict=True):
            difference = np.abs(pixels(a) - pixels(b))
            assert difference.max() <= 1  # fp32 sums in another order may round to the neighbour
            assert difference.mean() < 1e-3


def test_sessions_of_a_model_of_the_published_topology_do_not_see_each_other(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "small", config=SMALL)
    avatars = [write_avatar(tmp_path / "avatars", weights, name, seed=i) for i, name in enumerate(("ada", "bo", "cy"))]
    engine = Engine.load(weights, [tmp_path / "avatars"], EngineSettings(max_batch=4))
    requests = [replace(request(avatar, (1.0, 0.5), seed=i), format="raw") for i, avatar in enumerate(avatars)]
    alone = [rendered(engine, each)[0] for each in requests]
    for together, single in zip(rendered(engine, *requests), alone, strict=True):
        assert together.mel_max == pytest.approx(single.mel_max, abs=1e-5)
        for a, b in zip(together.frames, single.frames, strict=True):
            assert np.abs(pixels(a) - pixels(b)).max() <= 1
    assert np.abs(pixels(alone[0].frames[0]) - pixels(alone[1].frames[0])).max() > 20


def test_latents_of_a_frame_are_equal_alone_and_in_a_batch(engine: Engine) -> None:
    latents, tokens = torch.randn(5, 8, 32, 32), torch.randn(5, 50, 384)
    with torch.inference_mode():
        together = engine._painter.denoise(latents, tokens)
        alone = engine._painter.denoise(latents[3:4], tokens[3:4])
    assert (together[3:4] - alone).abs().max() <= 1e-5


def test_the_mouth_follows_the_sound(engine: Engine, ada: str) -> None:
    one, other = (replace(request(ada, (1.0,), seed=seed), format="raw") for seed in (1, 2))
    assert rendered(engine, one)[0].frames != rendered(engine, other)[0].frames


def test_the_mel_maximum_is_carried_and_never_falls(engine: Engine, ada: str) -> None:
    def carried(mel_max: float) -> float:
        return rendered(engine, replace(request(ada), mel_max=mel_max))[0].mel_max

    own = carried(-10.0)
    assert -10.0 < own < 4.0
    assert [carried(own - 1.0), carried(4.0), carried(own + 1.0)] == pytest.approx([own, 4.0, own + 1.0])


def test_audio_before_the_segment_is_silence(engine: Engine, ada: str) -> None:
    loud = request(ada, (1.0,))
    silent = replace(loud, audio=np.where(np.arange(len(loud.audio)) < 12_000, 0, loud.audio).astype(np.int16))
    assert rendered(engine, replace(loud, audio_start=-12_000)) == rendered(engine, silent)


def test_boxes_of_other_sizes_are_resized(engine: Engine, weights_dir: Path, avatars_dir: Path) -> None:
    boxes = ((10, 20, 210, 220), (10, 20, 300, 310), (10, 20, 10 + FACE_SIZE, 20 + FACE_SIZE), (0, 0, 20, 30))
    avatar = write_avatar(avatars_dir, weights_dir, "resized", boxes=boxes)
    (result,) = rendered(engine, replace(request(avatar), format="raw"))
    for i, (frame, (x1, y1, x2, y2)) in enumerate(zip(result.frames, boxes, strict=True)):
        changed = np.any(pixels(frame) != source(avatars_dir, avatar, i), axis=2)
        rows, columns = np.nonzero(changed)
        assert y1 + (y2 - y1) * 0.5 < rows.min() <= rows.max() < y2
        assert x1 + (x2 - x1) * 0.2 < columns.min() <= columns.max() < x2


BAD = "0" * 64
BAD_REQUESTS = {
    "AVATAR: no avatar": {"avatar": f"nobody@{BAD}"},
    "AVATAR: avatar 'ada' has no version": {"avatar": f"ada@{BAD}"},
    "AVATAR: must be id@sha256": {"avatar": "../../etc@passwd"},
    "FRAME_INDEX: 9 frames": {"frame_index": tuple(range(9))},
    "FRAME_INDEX: 0 frames": {"frame_index": ()},
    "FRAME_INDEX: -1 is negative": {"frame_index": (-1, 0, 1, 2)},
    "FRAME_START: 1 values for 4": {"frame_start": (16_000,)},
    "FRAME_START: must lie in AUDIO": {"frame_start": (16_000, 16_640, 17_280, 99_999)},
    "MOUTH_WEIGHT: 2 values for 4": {"mouth_weight": (1.0, 1.0)},
    "MOUTH_WEIGHT: must be from 0 to 1": {"mouth_weight": (1.0, 1.0, 1.0, float("nan"))},
    "AUDIO: 3 samples": {"audio": np.zeros(3, np.int16)},
    "AUDIO: 64001 samples": {"audio": np.zeros(64_001, np.int16)},
    "MEL_MAX: must be": {"mel_max": float("inf")},
    "FORMAT: 'png' is not one of jpeg, raw": {"format": "png"},
}


@pytest.mark.parametrize(("message", "fault"), BAD_REQUESTS.items(), ids=list(BAD_REQUESTS))
def test_a_bad_request_fails_alone_and_names_the_field(
    engine: Engine, ada: str, message: str, fault: dict[str, object]
) -> None:
    good = request(ada)
    before, refused, after = engine.render([good, replace(good, **fault), good])  # type: ignore[arg-type]  # on purpose
    assert isinstance(refused, RenderError)
    assert refused.message.startswith(message)
    assert refused.field == message.partition(":")[0]
    assert before == after
    assert isinstance(before, RenderResult)


def test_an_avatar_with_a_broken_picture_fails_alone(engine: Engine, ada: str, avatars_dir: Path) -> None:
    good = AvatarBundle.load(avatars_dir / "ada")
    info = replace(good.info, id="broken")
    frames = [frame[: len(frame) * 3 // 4] for frame in good.frames]  # the header is whole, the picture is not
    sha256 = save_bundle(avatars_dir / "broken", info, frames, good.latents, good.masks)
    refused, answered = engine.render([request(f"broken@{sha256}"), request(ada)])
    assert isinstance(refused, RenderError)
    assert refused.message.startswith("AVATAR: broken: frame 0 cannot be decoded")
    assert isinstance(answered, RenderResult)


PARAMETERS = {"threads": "2", "max_batch": "4", "precision": "bf16", "decoder": "taesd", "jpeg_quality": "90"}


def test_settings_are_read_from_the_parameters_of_a_triton_model() -> None:
    settings = EngineSettings.parse("cpu", PARAMETERS)
    assert settings == EngineSettings("cpu", "bf16", "taesd", threads=2, max_batch=4, jpeg_quality=90)
    assert EngineSettings.parse("cpu", PARAMETERS | {"max_batch": "auto"}).max_batch == "auto"


@pytest.mark.parametrize(
    ("name", "value"),
    [("precision", "fp8"), ("decoder", "vae"), ("threads", "0"), ("max_batch", "many"), ("jpeg_quality", "101")],
)
def test_a_wrong_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"config.pbtxt: parameter {name} is '{value}', not"):
        EngineSettings.parse("cpu", PARAMETERS | {name: value})

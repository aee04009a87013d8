"""A whole clip through the engine's own request: sound and a picture in, MuseTalk's frames out."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle, AvatarInfo, Box, save_bundle
from inference.config import MEL_MAX_LIMITS, Positions
from inference.engine import Engine, EngineSettings
from inference.preparation.latents import crop_face, encode_faces
from inference.requests import RenderRequest, RenderResult
from inference.weights import VAE_FILE, Model, file_sha256
from tests.inference_data import speech
from tests.parity import reference as plain
from tests.parity.reference import RATE_HZ, Picture, Reference, resized, swapped

SIZE = 320
BOX: Box = (41, 22, 41 + 201, 22 + 233)
LIMIT = 2  # of 255: latents are stored in fp16, and a mouth is rounded before it is resized and before it is blended


def write_avatar(folder: Path, weights: Path, model: Model, picture: NDArray[np.uint8], mask: Picture) -> AvatarBundle:
    """A bundle of one frame, RGB [320, 320, 3], its mask [height, width] of the box."""
    jpeg = simplejpeg.encode_jpeg(picture, 100, colorspace="RGB", colorsubsampling="444")
    shown = simplejpeg.decode_jpeg(jpeg)
    latents = encode_faces(model, crop_face(shown, BOX)[None])
    info = AvatarInfo(
        id="ada",
        display_name="Ada",
        width=SIZE,
        height=SIZE,
        fps=25.0,
        loop="cycle",
        boxes=(BOX,),
        tier=model.config.tier,
        vae_sha256=file_sha256(weights / VAE_FILE),
    )
    save_bundle(folder / "ada", info, [jpeg], latents, [mask])
    return AvatarBundle.load(folder / "ada")


def render(engine: Engine, avatar: str, sound: NDArray[np.int16], frames: int, fps: Fraction) -> NDArray[np.uint8]:
    """Raw frames [frames, 320, 320, 3] of a clip that one request carries whole."""
    starts = tuple(int(frame * RATE_HZ / fps) for frame in range(frames))
    weights, lowest = (1.0,) * frames, MEL_MAX_LIMITS[0]
    (result,) = engine.render([RenderRequest(avatar, sound, 0, (0,) * frames, starts, weights, lowest, "raw")])
    assert isinstance(result, RenderResult), result.message
    assert result.rendered == frames
    return np.frombuffer(b"".join(result.frames), np.uint8).reshape(frames, SIZE, SIZE, 3)


def test_a_clip_gives_musetalks_frames(
    model: Model,
    reference: Reference,
    face: Picture,
    converted: Callable[[Positions], Path],
    tmp_path: Path,
) -> None:
    """Log-mel to pasted pixels, every frame that the clip lasts, the last one included."""
    mask = np.zeros((BOX[3] - BOX[1], BOX[2] - BOX[0]), np.uint8)
    mask[120:225, 30:170], mask[130:215, 40:160] = 128, 255
    weights = converted("padded")
    bundle = write_avatar(tmp_path, weights, model, resized(face, SIZE, SIZE), mask)
    engine = Engine.load(weights, (tmp_path,), EngineSettings(device="cpu"))
    sound, fps = speech(3_300), Fraction(25)
    frames = plain.frame_count(len(sound), fps)
    found = render(engine, bundle.reference, sound, frames, fps)

    picture = swapped(bundle.image(0))
    x1, y1, x2, y2 = BOX
    crop = resized(picture[y1:y2, x1:x2], 256, 256, cv2.INTER_LANCZOS4)
    mouths = reference.mouths(sound.astype(np.float32) / 32_768, crop, fps)
    assert len(found) == len(mouths) == frames == 5
    for frame, mouth in zip(found, mouths, strict=True):
        expected = swapped(plain.paste(picture, mouth, BOX, mask))
        assert np.abs(frame.astype(int) - expected).max() <= LIMIT
    assert (found[0] != found[-1]).any()
    again = render(engine, bundle.reference, sound, 1, fps)
    assert np.abs(again[0].astype(int) - found[0]).max() <= 1  # in a batch of another size

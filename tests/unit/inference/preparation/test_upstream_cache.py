"""Caches as MuseTalk pickles them become bundles; what is damaged or names code is refused in one line."""

import json
import os
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from inference.avatar_bundle import AvatarBundle, Box, BundleError
from inference.import_avatar import main
from inference.preparation.masks import crop_box
from inference.preparation.restricted_pickle import load_numbers
from inference.preparation.upstream_cache import read_cache
from inference.weights import VAE_FILE, file_sha256

WIDTH, HEIGHT = 160, 120
NO_FACE = (0.0, 0.0, 0.0, 0.0)
BOXES: list[Box | tuple[float, ...]] = [(30, 20, 91, 100), (31, 20, 92, 101), NO_FACE, (0, 0, 61, 120)]


def as_upstream(box: Box | tuple[float, ...]) -> Any:
    """A box with the types of upstream's arithmetic: the extent of int32 landmarks, ints, and the margin's ints."""
    if not any(box):
        return NO_FACE
    x1, y1, x2, y2 = box
    return [np.int32(x1), int(y1), np.int32(x2), np.int64(y2)]


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache on disk and what went into it."""

    folder: Path
    pictures: list[np.ndarray[Any, Any]]
    masks: list[np.ndarray[Any, Any]]
    latents: torch.Tensor


def write_cache(folder: Path, protocol: int = 4) -> Cache:
    """The files that upstream's Avatar.prepare_material writes: everything forth and back."""
    generator = np.random.default_rng(0)
    for name in ("full_imgs", "mask", "vid_output"):
        (folder / name).mkdir(parents=True)
    pictures = [generator.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8) for _ in BOXES]
    pictures = [each.repeat(8, axis=0).repeat(8, axis=1) for each in pictures]
    squares: list[Any] = []
    masks = []
    for box in BOXES:
        x1, y1, x2, y2 = (int(value) for value in box)
        square = crop_box((x1, y1, x2, y2)) if any(box) else (0, 0, 4, 4)
        squares.append([np.int32(value) for value in square])
        side = square[2] - square[0]
        masks.append(generator.integers(0, 256, (side, side), dtype=np.uint8))
    latents = torch.randn(3, 8, 32, 32, generator=torch.Generator().manual_seed(0)).half()
    order = [*range(len(BOXES)), *reversed(range(len(BOXES)))]
    for number, i in enumerate(order):
        cv2.imwrite(str(folder / "full_imgs" / f"{number:08d}.png"), pictures[i][..., ::-1])
        cv2.imwrite(str(folder / "mask" / f"{number:08d}.png"), masks[i])
    (folder / "coords.pkl").write_bytes(pickle.dumps([as_upstream(BOXES[i]) for i in order], protocol))
    (folder / "mask_coords.pkl").write_bytes(pickle.dumps([squares[i] for i in order], protocol))
    rows = [latents[i : i + 1].clone() for i in range(3)]
    torch.save(rows + rows[::-1], folder / "latents.pt")
    (folder / "avator_info.json").write_text(
        json.dumps({"avatar_id": "avator_1", "video_path": "data/video/yongen.mp4", "bbox_shift": 5})
    )
    return Cache(folder, pictures, masks, latents)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return write_cache(tmp_path / "avator_1")


def error(folder: Path) -> str:
    with pytest.raises(BundleError) as raised:
        read_cache(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_forth_half_is_read_without_the_frames_that_have_no_face(cache: Cache) -> None:
    avatar = read_cache(cache.folder)
    assert (avatar.name, avatar.width, avatar.height, avatar.dropped) == ("avator_1", WIDTH, HEIGHT, 1)
    assert avatar.boxes == (BOXES[0], BOXES[1], BOXES[3])
    assert torch.equal(avatar.latents, cache.latents.float())
    for mask, i in zip(avatar.masks, (0, 1, 3), strict=True):
        x1, y1, x2, y2 = (int(value) for value in BOXES[i])
        left, top, _, _ = crop_box((x1, y1, x2, y2))
        assert np.array_equal(mask, cache.masks[i][y1 - top : y2 - top, x1 - left : x2 - left])


def test_latents_of_a_gpu_are_read_without_one(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    rows = [cache.latents[i : i + 1].clone() for i in range(3)]
    torch.save(rows + rows[::-1], cache.folder / "latents.pt")
    assert b"cuda:0" in (cache.folder / "latents.pt").read_bytes()
    assert torch.equal(read_cache(cache.folder).latents, cache.latents.float())


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_cache_becomes_a_bundle_that_is_rendered_from(tmp_path: Path, weights_dir: Path, protocol: int) -> None:
    cache, target = write_cache(tmp_path / "avator_1", protocol), tmp_path / "store" / "anna"
    assert main([str(cache.folder), str(target), "--id", "anna", "--weights", str(weights_dir)]) == 0
    bundle = AvatarBundle.load(target)
    assert (bundle.info.id, bundle.info.display_name, bundle.info.loop) == ("anna", "avator_1", "ping-pong")
    assert (bundle.info.tier, bundle.info.vae_sha256) == ("nano", file_sha256(weights_dir / VAE_FILE))
    assert [bundle.info.frame_at(i) for i in range(5)] == [0, 1, 2, 1, 0]
    assert torch.equal(bundle.latents, cache.latents.float())
    assert [bundle.mask(i).shape for i in range(3)] == [(80, 61), (81, 61), (120, 61)]
    for frame, i in enumerate((0, 1, 3)):
        assert np.abs(bundle.image(frame).astype(int) - cache.pictures[i]).mean() < 4


def test_the_names_of_numpy_2_are_known_too(cache: Cache) -> None:
    path = cache.folder / "coords.pkl"
    values = load_numbers(path)
    old = pickle.dumps([np.int32(7), np.float64(1.5), np.int64(-3)], protocol=2)
    assert b"cnumpy.core.multiarray\n" in old
    path.write_bytes(old.replace(b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"))
    assert load_numbers(path) == [7, 1.5, -3]
    assert values[0] == [30, 20, 91, 100]


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("name", ["coords.pkl", "mask_coords.pkl", "latents.pt"])
def test_a_pickle_with_code_is_refused_and_not_run(
    cache: Cache, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "latents.pt":
        torch.save([Evil()], cache.folder / name)
    else:
        (cache.folder / name).write_bytes(pickle.dumps([Evil()]))
    message = error(cache.folder)
    assert name in message
    assert "refused" in message
    assert name == "latents.pt" or "names posix.system, which is code" in message
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "value", [np.zeros(3), np.datetime64("2024-01-01"), {1, 2}, object(), np.array(["x"], object)[0:1], 1j]
)
def test_values_that_are_no_numbers_are_refused(cache: Cache, value: object) -> None:
    (cache.folder / "coords.pkl").write_bytes(pickle.dumps([value]))
    assert "coords.pkl" in error(cache.folder)


def test_no_opcode_gets_round_the_names(tmp_path: Path) -> None:
    """Whatever way a pickle takes to name a global, it is looked up in the same list."""
    for protocol in range(6):
        data = pickle.dumps([Evil()], protocol)
        assert any("GLOBAL" in op.name for op, _, _ in pickletools.genops(data))
        (tmp_path / "x.pkl").write_bytes(data)
        with pytest.raises(ValueError, match="which is code"):
            load_numbers(tmp_path / "x.pkl")


def test_what_is_missing_or_does_not_fit_is_named(cache: Cache, tmp_path: Path) -> None:
    (cache.folder / "mask" / "00000007.png").rename(tmp_path / "kept.png")
    assert error(cache.folder).endswith("mask has 7 entries, coords.pkl 8")
    (tmp_path / "kept.png").rename(cache.folder / "mask" / "00000007.png")
    (cache.folder / "mask" / "00000000.png").write_bytes(b"no png")
    assert error(cache.folder).endswith("00000000.png: not a picture that can be read")
    torch.save([torch.zeros(1, 8, 32, 32).half()], cache.folder / "latents.pt")
    assert error(cache.folder).endswith("latents.pt has 1 entries for 6 frames with a face")
    torch.save([torch.zeros(1, 4, 32, 32).half()], cache.folder / "latents.pt")
    assert "a tensor is [1, 4, 32, 32]" in error(cache.folder)
    (cache.folder / "latents.pt").write_bytes(b"x")
    assert "latents.pt: refused" in error(cache.folder)
    (cache.folder / "coords.pkl").unlink()
    assert "coords.pkl" in error(cache.folder)
    assert "avator_info.json" in error(tmp_path / "nowhere")


def test_lists_that_do_not_go_back_are_refused(cache: Cache) -> None:
    (cache.folder / "coords.pkl").write_bytes(pickle.dumps([as_upstream(box) for box in (*BOXES, *BOXES)]))
    assert "no loop forth and back" in error(cache.folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--id", "Anna"], "--id 'Anna': use a-z"),
        (["--id", "anna", "--fps", "0"], "--fps 0: must be from 1 to 60"),
    ],
)
def test_wrong_arguments_are_named(
    cache: Cache, weights_dir: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = cache.folder.parent / "bundle"
    assert main([str(cache.folder), str(target), "--weights", str(weights_dir), *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not target.exists()


def test_a_bundle_that_is_there_is_replaced_only_by_force(
    cache: Cache, weights_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = cache.folder.parent / "anna"
    arguments = [str(cache.folder), str(target), "--id", "anna", "--weights", str(weights_dir)]
    assert main(arguments) == 0
    assert "3 frames of 160x120, 1 without a face left out; anna@" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "--force replaces it" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0

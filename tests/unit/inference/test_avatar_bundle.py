"""Bundles: what is saved is loaded, what is damaged is refused, loops turn as they say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import numpy as numpy_file
from safetensors.numpy import load_file

from inference.avatar_bundle import AvatarBundle, AvatarInfo, BundleError, content_sha256, save_bundle
from inference.avatar_store import AvatarStore
from inference.decoder import Region
from inference.weights import VAE_FILE, file_sha256
from tests.inference_data import write_avatar


@pytest.fixture
def bundle_dir(tmp_path: Path, weights_dir: Path) -> Path:
    write_avatar(tmp_path, weights_dir, "ada")
    return tmp_path / "ada"


def test_a_bundle_comes_back_as_it_was_saved(bundle_dir: Path) -> None:
    bundle = AvatarBundle.load(bundle_dir)
    again = bundle_dir.parent / "again"
    sha256 = save_bundle(again, bundle.info, list(bundle.frames), bundle.latents, bundle.masks)
    loaded = AvatarBundle.load(again)
    assert sha256 == loaded.sha256 == bundle.sha256
    assert loaded.info == bundle.info
    assert loaded.frames == bundle.frames
    assert torch.equal(loaded.latents, bundle.latents)
    assert np.array_equal(loaded.masks, bundle.masks)


def test_masks_of_the_boxes_own_sizes_come_back_as_they_were_saved(bundle_dir: Path) -> None:
    bundle = AvatarBundle.load(bundle_dir)
    boxes = ((0, 0, 100, 120), (10, 10, 111, 130), (0, 0, 256, 256), (5, 5, 300, 310))
    masks = [np.full((y2 - y1, x2 - x1), 40 * i, np.uint8) for i, (x1, y1, x2, y2) in enumerate(boxes)]
    masks[3][:200] = 0
    info = replace(bundle.info, boxes=boxes)
    save_bundle(bundle_dir, info, bundle.frames, bundle.latents, masks)
    loaded = AvatarBundle.load(bundle_dir)
    assert load_file(bundle_dir / "masks.safetensors").keys() == {f"mask_{i:05d}" for i in range(4)}
    for i, mask in enumerate(masks):
        assert np.array_equal(loaded.mask(i), mask)
    assert loaded.mouth_region() == Region(0, 256, 0, 256)
    save_bundle(bundle_dir, info, bundle.frames, bundle.latents, [*map(np.zeros_like, masks[:3]), masks[3]])
    assert AvatarBundle.load(bundle_dir).mouth_region() == Region(200 * 256 // 305, 256, 0, 256)


def test_masks_that_do_not_fit_their_boxes_are_not_saved(bundle_dir: Path) -> None:
    bundle = AvatarBundle.load(bundle_dir)
    own = [np.full((100, 100), 9, np.uint8)] * 4
    faults: list[tuple[Any, str]] = [
        (own, "mask 0 is 100x100, its box 256x256"),
        (own[:2], "2 masks for 4 frames"),
        ([np.zeros((256, 256), np.uint8)], "masks must cover something"),
        ([np.ones((256, 256), np.float32)], "masks must be uint8"),
    ]
    for masks, message in faults:
        with pytest.raises(BundleError, match=message):
            save_bundle(bundle_dir.parent / "bad", bundle.info, bundle.frames, bundle.latents, masks)


def test_a_bundle_written_without_torch_is_loaded(bundle_dir: Path) -> None:
    """The service writes bundles with safetensors' NumPy half, and the hash by the same rule."""
    bundle = AvatarBundle.load(bundle_dir)
    written = bundle_dir.parent / "written"
    shutil.copytree(bundle_dir, written)
    numpy_file.save_file({"latents": bundle.latents.numpy().astype(np.float16)}, written / "latents.safetensors")
    masks = {f"mask_{i:05d}": np.full((256, 256), i + 1, np.uint8) for i in range(4)}
    numpy_file.save_file(masks, written / "masks.safetensors")
    values = json.loads((written / "avatar.json").read_text())
    (written / "avatar.json").write_text(json.dumps(values | {"sha256": content_sha256(written)}))
    loaded = AvatarBundle.load(written)
    assert [int(loaded.mask(i)[0, 0]) for i in range(4)] == [1, 2, 3, 4]
    assert torch.equal(loaded.latents, bundle.latents)


@pytest.mark.parametrize("name", ["frames/00002.jpg", "latents.safetensors", "masks.safetensors"])
def test_a_flipped_byte_is_refused(bundle_dir: Path, name: str) -> None:
    path = bundle_dir / name
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        AvatarBundle.load(bundle_dir)


def test_a_changed_box_is_refused(bundle_dir: Path) -> None:
    path = bundle_dir / "avatar.json"
    values = json.loads(path.read_text())
    values["boxes"][0][0] += 1
    path.write_text(json.dumps(values))
    with pytest.raises(BundleError, match="damaged"):
        AvatarBundle.load(bundle_dir)


def test_a_missing_frame_is_refused(bundle_dir: Path) -> None:
    (bundle_dir / "frames" / "00001.jpg").unlink()
    with pytest.raises(BundleError, match="damaged"):
        AvatarBundle.load(bundle_dir)


def test_parts_that_do_not_fit_are_not_saved(bundle_dir: Path) -> None:
    bundle = AvatarBundle.load(bundle_dir)
    faults: list[tuple[AvatarInfo, list[bytes], torch.Tensor, str]] = [
        (bundle.info, list(bundle.frames[:-1]), bundle.latents, "3 frames but 4 boxes"),
        (bundle.info, list(bundle.frames), bundle.latents[:2], "latents are"),
        (bundle.info, [b"no jpeg", *bundle.frames[1:]], bundle.latents, "frame 0 is not a JPEG"),
        (replace(bundle.info, loop="spiral"), list(bundle.frames), bundle.latents, "loop is 'spiral'"),
        (replace(bundle.info, boxes=((0, 0, 9999, 9),) * 4), list(bundle.frames), bundle.latents, "not inside"),
    ]
    for info, frames, latents, message in faults:
        with pytest.raises(BundleError, match=message):
            save_bundle(bundle_dir.parent / "bad", info, frames, latents, bundle.masks)
    assert sorted(path.name for path in bundle_dir.parent.iterdir()) == ["ada"]


def test_saving_over_a_bundle_replaces_it_whole(bundle_dir: Path) -> None:
    bundle = AvatarBundle.load(bundle_dir)
    info = replace(bundle.info, boxes=bundle.info.boxes[:2])
    save_bundle(bundle_dir, info, list(bundle.frames[:2]), bundle.latents[:2], bundle.masks)
    assert len(AvatarBundle.load(bundle_dir).frames) == 2
    assert len(list((bundle_dir / "frames").iterdir())) == 2


@pytest.mark.parametrize(
    ("loop", "count", "shown"),
    [
        ("ping-pong", 4, [0, 1, 2, 3, 2, 1, 0, 1, 2]),
        ("ping-pong", 2, [0, 1, 0, 1]),
        ("ping-pong", 1, [0, 0, 0]),
        ("ping-pong", 100, [*range(100), *range(98, -1, -1), 1, 2]),
        ("cycle", 3, [0, 1, 2, 0, 1]),
    ],
)
def test_the_loop_turns_without_showing_a_frame_twice(loop: str, count: int, shown: list[int]) -> None:
    info = AvatarInfo("a", "A", 9, 9, 25.0, loop, ((0, 0, 9, 9),) * count, "nano", "")
    assert [info.frame_at(position) for position in range(len(shown))] == shown


def test_the_mouth_region_is_the_box_of_the_mask(bundle_dir: Path) -> None:
    region = AvatarBundle.load(bundle_dir).mouth_region()
    assert (region.top, region.bottom, region.left, region.right) == (140, 240, 60, 200)


def test_a_store_finds_bundles_by_id_and_by_content(bundle_dir: Path, weights_dir: Path) -> None:
    reference = AvatarBundle.load(bundle_dir).reference
    vae = file_sha256(weights_dir / VAE_FILE)
    by_content = bundle_dir.parent / "store"
    shutil.copytree(bundle_dir, by_content / reference.partition("@")[2])
    for folder in (bundle_dir.parent, by_content):
        assert AvatarStore([folder], 1 << 30, vae).get(reference).bundle.reference == reference


def test_a_store_refuses_latents_of_another_autoencoder(bundle_dir: Path) -> None:
    store = AvatarStore([bundle_dir.parent], 1 << 30, vae_sha256="another")
    with pytest.raises(BundleError, match="prepared with other weights"):
        store.get(AvatarBundle.load(bundle_dir).reference)


def test_a_store_drops_the_least_recently_used_avatar_and_loads_it_again(tmp_path: Path, weights_dir: Path) -> None:
    references = [write_avatar(tmp_path, weights_dir, f"avatar-{i}", seed=i) for i in range(3)]
    size = AvatarBundle.load(tmp_path / "avatar-0").size_bytes
    store = AvatarStore([tmp_path], int(size * 2.5), file_sha256(weights_dir / VAE_FILE))
    first, second = store.get(references[0]), store.get(references[1])
    assert store.get(references[0]) is first
    store.get(references[2])
    assert store.get(references[0]) is first
    assert store.get(references[1]) is not second

"""The stages of training and what each one needs from the ones before."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import nn

from inference.config import NANO, NANO_VAE
from inference.drawing.mouth_shape import MouthShape
from inference.networks import build_tiny_vae, build_unet
from inference.training.autoencoder import decoder_of, pick_rows, psnr, train_autoencoder, train_decoder
from inference.training.export import export_avatars, export_weights, make_loops
from inference.training.faces import Faces, load_faces, make_faces, plan, pool_key
from inference.training.make_speech import load_speech, make_speech, segments, speech_key
from inference.training.probe import PROBE_FILE, Normaliser, train_probe
from inference.training.runs import Start
from inference.training.speech import SpeechSet, load_audio_features
from inference.training.unet import Latents, Material, Pairs, polish, train_unet
from inference.training.voice import Voice
from inference.weights import UNET_FILE, WHISPER_FILE, file_sha256, save_tensors

SPEECH_SHARDS = 18  # about 110,000 frames, 70 minutes
IDENTITIES = 40
MOUTHS_EACH = 40
MOUTHS_BUNDLED = 48  # for each frame of a bundled loop
PROBE_STEPS = 1500
SHARES = {"autoencoder": 0.30, "decoder": 0.18, "unet": 0.36, "polish": 0.16}  # of the budget, from noise
# From trained weights: the autoencoder is kept, what hears is trained, and what is seen is made sharper.
ADAPTED_SHARES = {"autoencoder": 0.0, "decoder": 0.12, "unet": 0.44, "polish": 0.44}


SPEECH_FILE = "speech.json"  # names the folder of the speech that is trained on
POOL_FILE = "pool.json"  # names the folder of the pool of faces that is trained on


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a training run lives and how long it may take."""

    out: Path
    assets: Path
    budget_s: float
    seed: int
    processes: int = 1  # that draw
    start: Start | None = None  # networks without a checkpoint begin with these weights instead of noise

    @property
    def weights(self) -> Path:
        """The folder of the exported weights; its Whisper encoder is there from the start."""
        return self.assets / "nano"

    @property
    def pool(self) -> Path:
        """The folder of the current pool of faces and of all that was trained on it; a changed drawing gets its own.

        Raises FileNotFoundError before the stage ``faces``.
        """
        return self._folder(POOL_FILE, "faces")

    @property
    def speech(self) -> Path:
        """The folder of the current speech; changed speech gets its own. FileNotFoundError before its stage."""
        return self._folder(SPEECH_FILE, "speech")

    def budget_of(self, stage: str) -> float:
        """Seconds of training for a stage; 0 keeps what the networks start from."""
        return (SHARES if self.start is None else ADAPTED_SHARES)[stage] * self.budget_s

    def _folder(self, name: str, stage: str) -> Path:
        file = self.out / name
        if not file.exists():
            raise FileNotFoundError(f"{file}: missing; run the stage {stage} first")
        return self.out / str(json.loads(file.read_text())["folder"])


def run_stage(stage: str, plan: Plan) -> None:
    """Run one stage; raises FileNotFoundError when an earlier one is missing."""
    _STAGES[stage](plan)


def _speech(run: Plan) -> None:
    folder = f"speech-{speech_key(Voice())}"
    make_speech(run.out / folder, run.weights / WHISPER_FILE, SPEECH_SHARDS, run.processes)
    (run.out / SPEECH_FILE).write_text(json.dumps({"folder": folder}))


def _faces(run: Plan) -> None:
    source = segments(Voice(), 77, held_out=False)
    truth = np.concatenate([next(source).truth for _ in range(60)])
    sitters = plan(truth, run.seed, IDENTITIES, MOUTHS_EACH, MOUTHS_BUNDLED)
    folder = f"pool-{pool_key(sitters)}"
    make_faces(run.out / folder / "faces", sitters, run.processes)
    make_loops(run.out / folder, run.processes)
    (run.out / POOL_FILE).write_text(json.dumps({"folder": folder}))


def _probe(run: Plan) -> None:
    speech, held = load_speech(run.speech, "train"), load_speech(run.speech, "held")
    network, r = train_probe(speech, held, Normaliser.of(speech), PROBE_STEPS)
    save_tensors(run.out / PROBE_FILE, network.state_dict(), torch.float16)
    names = MouthShape.__dataclass_fields__
    _report("probe, held-out r: " + ", ".join(f"{name} {value:.3f}" for name, value in zip(names, r, strict=True)))


def _autoencoder(run: Plan) -> None:
    faces = load_faces(run.pool / "faces")
    vae = train_autoencoder(faces, run.pool, run.budget_of("autoencoder"), run.start)
    _report_psnr(vae, faces, "autoencoder")


def _report_psnr(vae: AutoencoderTiny, faces: Faces, stage: str) -> None:
    """Print how well the lower half is encoded and decoded."""
    ours, theirs = (psnr(vae, faces, pick_rows(faces, 60, np.random.default_rng(1), share)) for share in (1.0, 0.0))
    _report(f"{stage}: PSNR of the lower half: bundled {ours:.1f} dB, others {theirs:.1f} dB")


def _decoder(run: Plan) -> None:
    faces, vae = load_faces(run.pool / "faces"), _averaged_vae(run)
    train_decoder(vae, faces, _cached_latents(run, vae, faces).targets, run.pool, run.budget_of("decoder"))
    _report_psnr(vae, faces, "decoder")


def _unet(run: Plan) -> None:
    vae = _averaged_vae(run)
    train_unet(_material(run, vae), vae, run.pool, run.budget_of("unet"), run.start)


def _polish(run: Plan) -> None:
    vae, unet = _averaged_vae(run), _averaged_unet(run)
    polish(_material(run, vae), vae, unet, run.pool, run.budget_of("polish"), run.start)


def _export(run: Plan) -> None:
    vae, unet = _averaged_vae(run), _averaged_unet(run)
    steps = ", ".join(f"{name} {_steps(run, name)}" for name in SHARES if (run.pool / f"{name}.pt").exists())
    if (run.pool / "polish.pt").exists():
        both = nn.ModuleDict({"unet": cast(nn.Module, unet), "decoder": decoder_of(vae)})
        both.load_state_dict(torch.load(run.pool / "polish.pt", weights_only=True)["average"])
    speech = load_speech(run.speech, "train")
    training = (
        f"{steps} steps{_origin(run)}; {len(speech.truth)} frames of generated speech; drawn faces, seed {run.seed}"
    )
    audio = load_audio_features(run.weights / WHISPER_FILE)
    export_weights(run.weights, audio, Normaliser.of(speech), unet, vae, training)
    export_avatars(run.weights, run.assets / "avatars", vae, run.pool)
    if (run.out / PROBE_FILE).exists():
        copyfile(run.out / PROBE_FILE, run.assets / PROBE_FILE)
    _report(f"exported to {run.assets}: {training}")


def _origin(run: Plan) -> str:
    """What the networks started from, for the record in ``config.json``."""
    return "" if run.start is None else f" from weights {file_sha256(run.start.folder / UNET_FILE)[:12]}"


def _material(run: Plan, vae: AutoencoderTiny) -> Material:
    faces: Faces = load_faces(run.pool / "faces")
    speech: SpeechSet = load_speech(run.speech, "train")
    latents = _cached_latents(run, vae, faces)
    return Material(faces, speech, latents, Normaliser.of(speech), Pairs(faces, speech))


def _cached_latents(run: Plan, vae: AutoencoderTiny, faces: Faces) -> Latents:
    """The pool's latents, from disk if this autoencoder and this pool made them."""
    path, key = run.pool / "latents.pt", [_steps(run, "autoencoder"), len(faces.lower)]
    if path.exists():
        stored = torch.load(path, weights_only=True)
        if stored["key"] == key:
            return Latents(stored["targets"], stored["references"], stored["masked"])
    latents = Latents.of(vae, faces)
    parts = {"targets": latents.targets, "references": latents.references, "masked": latents.masked}
    torch.save({"key": key, **parts}, path)
    return latents


def _averaged_vae(run: Plan) -> AutoencoderTiny:
    vae = build_tiny_vae(NANO_VAE)
    _load_average(run, "autoencoder", cast(nn.Module, vae))
    if (run.pool / "decoder.pt").exists():
        _load_average(run, "decoder", decoder_of(vae))
    return vae


def _averaged_unet(run: Plan) -> UNet2DConditionModel:
    unet = build_unet(NANO)
    _load_average(run, "unet", cast(nn.Module, unet))
    return unet


def _load_average(run: Plan, name: str, network: nn.Module) -> None:
    path = run.pool / f"{name}.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path}: missing; run the stage {name} first")
    network.load_state_dict(torch.load(path, weights_only=True)["average"])


def _steps(run: Plan, name: str) -> int:
    return int(torch.load(run.pool / f"{name}.pt", weights_only=True)["steps"])


def _report(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the result of a stage of a command


_STAGES: dict[str, Callable[[Plan], None]] = {
    "speech": _speech,
    "faces": _faces,
    "probe": _probe,
    "autoencoder": _autoencoder,
    "decoder": _decoder,
    "unet": _unet,
    "polish": _polish,
    "export": _export,
}
STAGES = tuple(_STAGES)

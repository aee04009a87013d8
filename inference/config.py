"""Sizes and constants of the engine, and ``config.json`` of a weights folder.

The numbers of the audio window are MuseTalk's (its ``audio_processor``); the span is ours: a request carries only the
audio around its own frames, so that requests of many sessions can share a batch and be sent again.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

SAMPLE_RATE_HZ = 16_000  # Whisper's
FPS = 25  # the rate MuseTalk was trained at; other rates move FRAME_START, not the model

# Whisper's log-mel: a column each 10 ms; its encoder halves that.
MEL_HOP_SAMPLES = 160
MEL_BINS = 80
FEATURE_SAMPLES = 2 * MEL_HOP_SAMPLES  # one encoder feature each 20 ms, 50 a second

# The window of a frame: 10 features, from 80 ms before its start to 120 ms after it.
WINDOW_FEATURES = 10
WINDOW_LEFT_FEATURES = 4
WHISPER_STATES = 5  # the input of each of the four layers, and the normalised output
WINDOW_TOKENS = WINDOW_FEATURES * WHISPER_STATES  # token = 5 * feature + state

# The span of a request. The model is trained on exactly this shape: the encoder serves what it saw in training.
SPAN_LEFT_SAMPLES = 16_000  # 1.0 s: the encoder's context, enough for features within a few percent of a 30 s pass
# 240 ms: the last window ends 80 ms after its frame; the rest keeps its features off the reflected edge.
SPAN_RIGHT_SAMPLES = 3_840
FRAME_SAMPLES = SAMPLE_RATE_HZ // FPS  # 640
MAX_FRAMES = 8  # of one request: 320 ms; more would add latency and save nothing
MAX_SPAN_SAMPLES = 4 * SAMPLE_RATE_HZ  # refuses absurd requests; a span of 8 frames at 10 fps still fits

# log10 mel power. Whisper clamps 8 below the clip's maximum; a span inherits the maximum of its segment so far, and a
# segment starts from this value: the median of whole sentences of the bundled voice at 0.04 RMS is 0.52.
# Only the clamp moves with it; the level of the speech above the clamp is not touched.
START_MEL_MAX = 0.5
MEL_MAX_LIMITS = (-10.0, 10.0)  # -10 is digital silence; full-scale noise stays below 5

FACE_SIZE = 256  # the face crop, in pixels
LATENT_SIZE = 32
LATENT_CHANNELS = 4
FACE_CHANNELS = 3
HIDDEN_ROW = FACE_SIZE // 2  # rows from here on are masked for the U-Net and painted by it
UNET_HEADS = 8  # of attention, at every level
UNET_TIMESTEP = 0  # MuseTalk is one U-Net pass, not a diffusion sampler

CONFIG_FILE = "config.json"

Positions = Literal["span", "true", "padded"]
"""How the Whisper encoder numbers the features of a span: from 0 (nano was trained so), by their true place in the
segment, or from 0 with the span padded to 30 s, which is upstream's whole pass."""


def span_samples(frames: int, frame_samples: int = FRAME_SAMPLES) -> int:
    """Length of a request's span: left context, the frames' own audio, look-ahead."""
    return SPAN_LEFT_SAMPLES + frames * frame_samples + SPAN_RIGHT_SAMPLES


@dataclass(frozen=True, slots=True)
class WhisperSize:
    """Sizes of the Whisper encoder; the defaults are tiny's."""

    width: int = 384
    layers: int = WHISPER_STATES - 1
    heads: int = 6
    feed_forward: int = 1536
    positions: int = 1500


@dataclass(frozen=True, slots=True)
class UNetSize:
    """Sizes of the U-Net, a diffusers ``UNet2DConditionModel``."""

    block_channels: tuple[int, ...]
    down_blocks: tuple[str, ...]
    up_blocks: tuple[str, ...]
    layers_per_block: int
    norm_groups: int


@dataclass(frozen=True, slots=True)
class VaeSize:
    """Sizes of a tiny autoencoder, a diffusers ``AutoencoderTiny``."""

    width: int
    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KlSize:
    """Sizes of the published autoencoder, a diffusers ``AutoencoderKL``; three of its levels halve the picture."""

    block_channels: tuple[int, ...]
    layers_per_block: int
    norm_groups: int


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One set of weights: its tier, its sizes and how it is described to users."""

    tier: str
    description: str
    unet: UNetSize
    vae: VaeSize | KlSize
    whisper: WhisperSize = WhisperSize()
    training: str = ""  # how the weights came about: steps, data, date
    latent_scale: float = 1.0  # what the encoder gives times this is what the U-Net sees
    normalised_audio: bool = True  # whether the folder holds the statistics that Whisper's states are normalised with
    positions: Positions = "span"

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``config.json`` of a weights folder; raises ValueError naming the file and the fault."""
        path = folder / CONFIG_FILE
        try:
            values = json.loads(path.read_text())
            return cls._from_json(values)
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read ({error.strerror}); model_dir must be a weights folder, "
                "which MuseTalk's published files become by python -m inference.convert_weights"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a model configuration ({error})") from error

    def save(self, folder: Path) -> None:
        """Write ``config.json`` into a weights folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> Self:
        unet, vae = values["unet"], values["vae"]
        return cls(
            tier=values["tier"],
            description=values["description"],
            unet=UNetSize(
                block_channels=tuple(unet["block_channels"]),
                down_blocks=tuple(unet["down_blocks"]),
                up_blocks=tuple(unet["up_blocks"]),
                layers_per_block=unet["layers_per_block"],
                norm_groups=unet["norm_groups"],
            ),
            vae=_vae_size(vae),
            whisper=WhisperSize(**values["whisper"]),
            training=values.get("training", ""),
            latent_scale=float(values.get("latent_scale", 1.0)),
            normalised_audio=bool(values.get("normalised_audio", True)),
            positions=_positions(values.get("positions", "span")),
        )


def _vae_size(values: dict[str, Any]) -> VaeSize | KlSize:
    if "block_channels" in values:
        return KlSize(tuple(values["block_channels"]), values["layers_per_block"], values["norm_groups"])
    return VaeSize(values["width"], tuple(values["encoder_blocks"]), tuple(values["decoder_blocks"]))


def _positions(value: object) -> Positions:
    for positions in get_args(Positions):
        if value == positions:
            return positions  # type: ignore[no-any-return]  # get_args is untyped
    raise ValueError(f"positions is {value!r}, not one of {', '.join(get_args(Positions))}")


NANO_VAE = VaeSize(width=16, encoder_blocks=(1, 1, 1, 1), decoder_blocks=(3, 2, 1, 0))
NANO = ModelConfig(
    tier="nano",
    description="demonstration model, trained on drawn faces",
    unet=UNetSize(
        block_channels=(32, 48, 64),
        down_blocks=(
            "DownBlock2D",
            "DownBlock2D",
            "CrossAttnDownBlock2D",
        ),  # attention at 32x32 would cost more than all the rest
        up_blocks=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_groups=8,
    ),
    vae=NANO_VAE,
)

MUSETALK_V15 = ModelConfig(
    tier="musetalk-v15",
    description="MuseTalk 1.5, the published weights",
    unet=UNetSize(
        block_channels=(320, 640, 1280, 1280),
        down_blocks=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_blocks=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=2,
        norm_groups=32,
    ),
    vae=KlSize(block_channels=(128, 256, 512, 512), layers_per_block=2, norm_groups=32),
    latent_scale=0.18215,  # of Stable Diffusion 1, whose autoencoder this is
    normalised_audio=False,
    positions="true",
)
MUSETALK_V10 = replace(MUSETALK_V15, tier="musetalk-v10", description="MuseTalk 1.0, the published weights")

# The tiny autoencoder for Stable Diffusion 1, whose decoder can stand in for the published one.
TAESD = VaeSize(width=64, encoder_blocks=(1, 3, 3, 3), decoder_blocks=(3, 3, 3, 1))

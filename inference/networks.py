"""The U-Net and the autoencoder, built with diffusers' own classes from a ``ModelConfig``."""

from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

from inference.config import FACE_SIZE, LATENT_CHANNELS, LATENT_SIZE, UNET_HEADS, KlSize, ModelConfig, VaeSize


def build_unet(config: ModelConfig) -> UNet2DConditionModel:
    """MuseTalk's U-Net, untrained.

    [B, 8, 32, 32] (masked, then reference latents) and windows [B, 50, C] to latents [B, 4, 32, 32]; its timestep is 0.
    """
    size = config.unet
    return UNet2DConditionModel(  # type: ignore[no-untyped-call]  # diffusers' constructors are untyped
        sample_size=LATENT_SIZE,
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=size.block_channels,
        down_block_types=size.down_blocks,
        up_block_types=size.up_blocks,
        mid_block_type="UNetMidBlock2DCrossAttn",
        layers_per_block=size.layers_per_block,
        norm_num_groups=size.norm_groups,
        cross_attention_dim=config.whisper.width,
        attention_head_dim=UNET_HEADS,  # diffusers reads this as the number of heads
    )


def build_vae(config: ModelConfig) -> AutoencoderTiny | AutoencoderKL:
    """The autoencoder, untrained: RGB [B, 3, 256, 256] in -1 to 1 to latents [B, 4, 32, 32] and back."""
    return _build_kl(config.vae) if isinstance(config.vae, KlSize) else build_tiny_vae(config.vae)


def build_tiny_vae(size: VaeSize) -> AutoencoderTiny:
    """A tiny autoencoder, untrained; it scales its latents itself, so they are what the U-Net sees."""
    levels = len(size.encoder_blocks)
    return AutoencoderTiny(  # type: ignore[no-untyped-call]  # diffusers' constructors are untyped
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=(size.width,) * levels,
        decoder_block_out_channels=(size.width,) * levels,
        num_encoder_blocks=size.encoder_blocks,
        num_decoder_blocks=size.decoder_blocks,
    )


def _build_kl(size: KlSize) -> AutoencoderKL:
    """Stable Diffusion's autoencoder, untrained; its latents are to be scaled by ``ModelConfig.latent_scale``."""
    levels = len(size.block_channels)
    return AutoencoderKL(  # type: ignore[no-untyped-call]  # diffusers' constructors are untyped
        sample_size=FACE_SIZE,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=size.block_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=size.layers_per_block,
        norm_num_groups=size.norm_groups,
    )

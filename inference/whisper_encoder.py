"""Whisper's encoder on a short span, with all its hidden states.

transformers' own encoder refuses anything but 30 s; this one takes any length and the same state dict. Which positional
embedding the first feature gets is the caller's choice.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.config import MEL_BINS, WhisperSize


class SelfAttention(nn.Module):
    """Multi-head attention; Whisper's key projection has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] to [B, T, C]."""
        batch, length, width = x.shape
        q, k, v = (
            project(x).view(batch, length, self.heads, width // self.heads).transpose(1, 2)  # [B, heads, T, C / heads]
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = functional.scaled_dot_product_attention(q, k, v)  # [B, heads, T, C / heads]
        out: Tensor = self.out_proj(y.transpose(1, 2).reshape(batch, length, width))
        return out


class EncoderLayer(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, size: WhisperSize) -> None:
        super().__init__()
        self.self_attn = SelfAttention(size.width, size.heads)
        self.self_attn_layer_norm = nn.LayerNorm(size.width)
        self.fc1 = nn.Linear(size.width, size.feed_forward)
        self.fc2 = nn.Linear(size.feed_forward, size.width)
        self.final_layer_norm = nn.LayerNorm(size.width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] to [B, T, C]."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))
        return out


class WhisperEncoder(nn.Module):
    """The encoder with the tensor names of transformers' ``WhisperEncoder``."""

    def __init__(self, size: WhisperSize) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(MEL_BINS, size.width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(size.width, size.width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(size.positions, size.width)
        self.layers = nn.ModuleList(EncoderLayer(size) for _ in range(size.layers))
        self.layer_norm = nn.LayerNorm(size.width)

    def forward(self, mel: Tensor, start_positions: Tensor | None = None) -> Tensor:
        """All hidden states of spans.

        Args:
            mel: [B, 80, 2T], T <= 1500 - the highest start position.
            start_positions: [B] integers, the positional embedding of each span's first feature; None is 0 for all.

        Returns:
            [B, T, layers + 1, C]: the input of each layer, and the last layer's output *after* the final norm, as in
            transformers.
        """
        x = functional.gelu(self.conv1(mel))  # [B, C, 2T]
        x = functional.gelu(self.conv2(x)).transpose(1, 2)  # [B, T, C]
        places = torch.arange(x.shape[1], device=x.device)  # [T]
        if start_positions is not None:
            places = start_positions[:, None] + places  # [B, T]
        x = x + self.embed_positions(places)
        states = []
        for layer in self.layers:
            states.append(x)
            x = layer(x)
        states.append(self.layer_norm(x))
        return torch.stack(states, dim=2)  # [B, T, layers + 1, C]

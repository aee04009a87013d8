"""BiSeNet, the face parser that MuseTalk's own masks are made with, from the user's checkpoint ``79999_iter.pth``.

The network is that of zllrunning/face-parsing.PyTorch: a ResNet-18 whose features at 1/8, 1/16 and 1/32 are joined, 19
classes, the main head alone. Modules are named as in its checkpoint. The published weights were trained on
CelebAMask-HQ, which is for non-commercial research; they are not part of this project.
"""

import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.avatar_bundle import Image
from inference.preparation.face_models import Points
from inference.preparation.parsing import Labels
from inference.weights import WeightsError, check_tensors

CLASSES = 19
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of RGB in 0 to 1
UNUSED = ("conv_out16.", "conv_out32.")  # heads for training
COUNTER = "num_batches_tracked"  # of batch norms: used in training alone


class ConvNormRelu(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to [B, out, h, w]."""
        return functional.relu(self.bn(self.conv(x)))


class ResidualBlock(nn.Module):
    """ResNet's basic block."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if channels != out or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to [B, out, h / stride, w / stride]."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNet18(nn.Module):
    """ResNet-18 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(ResidualBlock(64, 64, 1), ResidualBlock(64, 64, 1))
        self.layer2 = nn.Sequential(ResidualBlock(64, 128, 2), ResidualBlock(128, 128, 1))
        self.layer3 = nn.Sequential(ResidualBlock(128, 256, 2), ResidualBlock(256, 256, 1))
        self.layer4 = nn.Sequential(ResidualBlock(256, 512, 2), ResidualBlock(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, 3, h, w] to features at 1/8 [B, 128], 1/16 [B, 256] and 1/32 [B, 512]."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class Refinement(nn.Module):
    """Features weighed by channel."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = ConvNormRelu(channels, out, 3)
        self.conv_atten = nn.Conv2d(out, out, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to [B, out, h, w]."""
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))))


class ContextPath(nn.Module):
    """The three features joined from the coarsest to the finest."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16 = Refinement(256, 128)
        self.arm32 = Refinement(512, 128)
        self.conv_head32 = ConvNormRelu(128, 128, 3)
        self.conv_head16 = ConvNormRelu(128, 128, 3)
        self.conv_avg = ConvNormRelu(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, h, w] to the fine and the joined features, both [B, 128, h / 8, w / 8]."""
        eighth, sixteenth, coarse = self.resnet(x)
        whole = self.conv_avg(coarse.mean((2, 3), keepdim=True))  # [B, 128, 1, 1]
        joined = functional.interpolate(self.arm32(coarse) + whole, sixteenth.shape[2:], mode="nearest")
        joined = self.arm16(sixteenth) + self.conv_head32(joined)
        return eighth, self.conv_head16(functional.interpolate(joined, eighth.shape[2:], mode="nearest"))


class Fusion(nn.Module):
    """Fine and joined features as one, weighed by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = ConvNormRelu(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, fine: Tensor, joined: Tensor) -> Tensor:
        """Two [B, 128, h, w] to [B, 256, h, w]."""
        x: Tensor = self.convblk(torch.cat([fine, joined], dim=1))
        weight = torch.sigmoid(self.conv2(functional.relu(self.conv1(x.mean((2, 3), keepdim=True)))))
        return x * weight + x


class Head(nn.Module):
    """Scores of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvNormRelu(256, 256, 3)
        self.conv_out = nn.Conv2d(256, CLASSES, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 256, h, w] to [B, 19, h, w]."""
        scores: Tensor = self.conv_out(self.conv(x))
        return scores


class BiSeNet(nn.Module):
    """The whole network."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = Fusion()
        self.conv_out = Head()

    def forward(self, x: Tensor) -> Tensor:
        """Normalised RGB [B, 3, h, w] to scores [B, 19, h, w]."""
        scores = self.conv_out(self.ffm(*self.cp(x)))  # [B, 19, h / 8, w / 8]
        return functional.interpolate(scores, x.shape[2:], mode="bilinear", align_corners=True)


class BiSeNetParser:
    """Face parsing as MuseTalk does it; fp32."""

    def __init__(self, checkpoint: Path, device: torch.device) -> None:
        """Raises WeightsError for a file that is missing, holds more than tensors, or is of another network."""
        with torch.device("meta"):  # no memory and no time for first values, which the file replaces
            network = BiSeNet()
        network.load_state_dict(_read(checkpoint, network), assign=True, strict=False)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None
        self._network = network.requires_grad_(False).eval().to(device)
        self._device = device

    @torch.inference_mode()
    def labels(self, crop: Image, mesh: Points | None) -> Labels:
        """Labels [512, 512] of a crop [512, 512, 3] RGB; the mesh is not needed."""
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 255  # [1, 3, 512, 512]
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        scores = self._network(((pixels - mean) / deviation).to(self._device))
        labels: Labels = scores[0].argmax(0).to(torch.uint8).cpu().numpy()
        return labels


def _read(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """The checkpoint's tensors, as fp32, without those of training; raises WeightsError."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); face_parser must be a BiSeNet file") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        # torch's own text would advise loading it with code allowed.
        raise WeightsError(f"{path}: refused, it is damaged or holds more than tensors") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(f"{path}: not a file of named tensors")
    used = {name: value for name, value in found.items() if not name.startswith(UNUSED) and COUNTER not in name}
    expected = {name: value for name, value in network.state_dict().items() if COUNTER not in name}
    check_tensors(path, {name: value.shape for name, value in used.items()}, expected)
    return {name: value.float() for name, value in used.items()}

"""Five networks as their papers' code might have them, which are in no library here; registered on import.

Each has another form: it returns a dict, a list, or logits; its windows are unpadded; it works in NHWC.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbackbones import register_backbone


class Bottle(nn.Module):
    """A residual bottleneck with its activation written as a function."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        mid = cout // 2
        self.conv1 = nn.Conv2d(cin, mid, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid)
        self.conv2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(mid)
        self.conv3 = nn.Conv2d(mid, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.short = nn.Conv2d(cin, cout, 1, stride, bias=False) if (cin, 1) != (cout, stride) else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.short is None else self.short(x)))


@register_backbone("dictnet", family="papers", paper="0000.00000", year=2020)
class DictNet(nn.Module):
    """Returns a dict of its stages' maps, res3 behind a function."""

    def __init__(self, in_channels: int = 3, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [width, 2 * width, 3 * width, 4 * width, 5 * width]
        for k, (cin, cout) in enumerate(zip(widths, widths[1:], strict=False)):
            stage = nn.Sequential(Bottle(cin, cout, 1 if k == 0 else 2), Bottle(cout, cout, 1))
            setattr(self, f"res{k + 2}", stage)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.pool(F.relu(self.bn(self.stem(x))))
        outputs = {"res2": self.res2(x)}
        outputs["res3"] = F.hardtanh(self.res3(outputs["res2"]), 0.0, 6.0)
        outputs["res4"] = self.res4(outputs["res3"])
        outputs["res5"] = self.res5(outputs["res4"])
        return outputs


class TokenBlock(nn.Module):
    """A transformer's feed-forward layer with a depth-wise convolution, on tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 2 * dim)
        self.dw = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=2 * dim)
        self.fc2 = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, high: int, wide: int) -> Tensor:
        y = self.fc1(self.norm(x)).transpose(1, 2).reshape(len(x), -1, high, wide)
        return x + self.fc2(F.gelu(self.dw(y)).flatten(2).transpose(1, 2))


@register_backbone("listnet")
class ListNet(nn.Module):
    """A hierarchical transformer: tokens inside, a list of maps outside."""

    def __init__(self, in_chans: int = 3, dims: tuple[int, ...] = (8, 16, 24, 32)) -> None:
        super().__init__()
        before = (in_chans, *dims)
        for k, dim in enumerate(dims):
            window, stride = (7, 4) if k == 0 else (3, 2)
            setattr(self, f"patch_embed{k + 1}", nn.Conv2d(before[k], dim, window, stride, window // 2))
            setattr(self, f"block{k + 1}", nn.ModuleList([TokenBlock(dim), TokenBlock(dim)]))
            setattr(self, f"norm{k + 1}", nn.LayerNorm(dim))

    def forward(self, x: Tensor) -> list[Tensor]:
        outs = []
        for k in range(1, 5):
            x = getattr(self, f"patch_embed{k}")(x)
            n, _, high, wide = x.shape
            x = x.flatten(2).transpose(1, 2)
            for block in getattr(self, f"block{k}"):
                x = block(x, high, wide)
            x = getattr(self, f"norm{k}")(x)
            x = x.reshape(n, high, wide, -1).permute(0, 3, 1, 2).contiguous()
            outs.append(x)
        return outs


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(dim, 4, 1), nn.Conv2d(4, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))))


class InvertedResidual(nn.Module):
    """As in MobileNetV2, with a squeeze-and-excitation gate."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        mid = 3 * cin
        self.same = stride == 1 and cin == cout
        self.expand = nn.Sequential(nn.Conv2d(cin, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU6())
        self.dw = nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False)
        self.dw_bn = nn.BatchNorm2d(mid)
        self.se = Gate(mid)
        self.project = nn.Sequential(nn.Conv2d(mid, cout, 1, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.se(F.relu6(self.dw_bn(self.dw(self.expand(x))))))
        return x + y if self.same else y


@register_backbone("logitsnet")
def logitsnet(num_classes: int = 10) -> nn.Module:
    """A classifier that gives logits only, and cannot be told how many channels the image has."""
    return LogitsNet(num_classes)


class LogitsNet(nn.Module):
    """One flat list of blocks between a stem and a classifier."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        rows = [
            (8, 8, 1),
            (8, 12, 2),
            (12, 12, 1),
            (12, 16, 2),
            (16, 16, 1),
            (16, 24, 2),
            (24, 24, 1),
            (24, 32, 2),
        ]
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.ModuleList(InvertedResidual(*row) for row in rows)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(32, num_classes)
        self.aux = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = F.relu6(self.stem(x))
        middle = x
        for k, block in enumerate(self.blocks):
            x = block(x)
            middle = x if k == 4 else middle
        logits = self.fc(self.dropout(x.mean((2, 3))))
        return (logits, self.aux(middle.mean((2, 3)))) if self.training else logits


class Unpadded(nn.Module):
    """Two convolutions, with a pool written as a function between stages."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(cin, cout, 3), nn.Conv2d(cout, cout, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return F.max_pool2d(x, 3, 2)


@register_backbone("unpaddednet")
class UnpaddedNet(nn.Module):
    """Windows without padding and a classifier for images of 224 x 224, as before 2014."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, stride=2)
        self.stage1, self.stage2, self.stage3 = Unpadded(8, 8), Unpadded(8, 12), Unpadded(12, 16)
        self.stage4 = nn.Conv2d(16, 20, 3, stride=2)
        self.classifier = nn.Sequential(nn.Linear(20 * 4 * 4, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        return self.classifier(F.relu(x).flatten(1))


class Mixer(nn.Module):
    """A block on NHWC maps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        y = (y + y.roll(1, 1) + y.roll(-1, 1) + y.roll(1, 2) + y.roll(-1, 2)) / 5
        return x + self.fc2(F.gelu(self.fc1(y)))


class Merge(nn.Module):
    """Patch merging on NHWC maps, odd sides padded."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        corners = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))


@register_backbone("nhwcnet")
class NHWCNet(nn.Module):
    """NHWC from the patches on, merging at the end of each stage, logits from a mean over cells."""

    def __init__(self, dims: tuple[int, ...] = (8, 16, 24, 32)) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dims[0], 4, 4)
        stages = []
        for dim, out in zip(dims, (*dims[1:], None), strict=True):
            stages.append(nn.Sequential(Mixer(dim), Mixer(dim), *([] if out is None else [Merge(dim, out)])))
        self.layers = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4))
        x = self.patches(x).permute(0, 2, 3, 1)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean((1, 2)))

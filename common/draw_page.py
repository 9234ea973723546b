"""A page to draw on: common/draw.html with a network inside, for a browser and nothing else."""

import base64
import copy
import json
from pathlib import Path

import torch
from torch import nn

from common.cli import UserError, atomic_write
from common.language import _

TEMPLATE = Path(__file__).with_name("draw.html")


def write_draw_page(model: nn.Module, path: Path) -> None:
    """Write the page: it reads what is drawn there as the model would, (N, 1, 28, 28) -> (N, 10).

    Raises UserError for a model that computes anything else than the page can.
    """
    layers = [_packed(layer) for layer in _chain(copy.deepcopy(model).cpu().float().eval())]
    page = TEMPLATE.read_text(encoding="utf-8").replace("NETWORK", json.dumps(layers))
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


@torch.no_grad()
def _chain(model: nn.Module) -> nn.Sequential:
    """The model's layers in the order in which they run; convolutions include their batch norm."""
    ran, layers = [], []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: ran.append(module))
    model(torch.zeros(1, 1, 28, 28))
    for module in tuple(ran):
        match module:
            case nn.Flatten() | nn.Dropout() | nn.Identity():
                pass
            case nn.Linear():
                layers += [nn.Flatten(), module]
            case nn.BatchNorm2d(track_running_stats=True) if layers and isinstance(
                layers[-1], nn.Conv2d
            ):
                layers[-1] = nn.utils.fuse_conv_bn_eval(layers[-1], module)
            case (
                nn.ReLU()
                | nn.MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
            ):
                layers.append(module)
            case nn.Conv2d(stride=(1, 1), dilation=(1, 1), groups=1, padding_mode="zeros") if (
                _keeps_size(module)
            ):
                layers.append(module)
            case _:
                raise UserError(
                    "the page cannot compute {module}. {known}", module=module, known=_known()
                )
    chain = nn.Sequential(*layers)
    images = torch.randn(100, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    try:
        expected, found = model(images), chain(images)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    except (RuntimeError, AssertionError):
        name = type(model).__name__
        raise UserError(
            "{name} computes more than its layers do, or less. {known}", name=name, known=_known()
        ) from None
    if expected.shape != (100, 10):
        shape = tuple(expected.shape[1:])
        raise UserError("expected ten logits for an image, got {shape}.", shape=shape)
    return chain


def _known() -> str:
    return _(
        "The page knows Linear, ReLU, Conv2d (odd kernel, stride 1, padding 'same'), BatchNorm2d "
        "right after it, MaxPool2d(2), Flatten, Dropout and Identity, one after the other."
    )


def _keeps_size(layer: nn.Conv2d) -> bool:
    k = layer.kernel_size[0]
    return (
        layer.kernel_size == (k, k) and k % 2 == 1 and layer.padding in ("same", (k // 2, k // 2))
    )


def _packed(layer: nn.Module) -> dict:
    """A layer as the page reads it: weights as 16-bit integers, times a scale for each row."""
    packed = {"kind": type(layer).__name__}
    if isinstance(layer, nn.Linear | nn.Conv2d):
        weight = layer.weight.detach().flatten(1)
        scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / (2**15 - 1)
        bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
        packed["shape"] = list(layer.weight.shape)
        numbers = {"weight": ((weight / scale).round(), "<i2"), "scale": (scale, "<f4")}
        for name, (tensor, kind) in (numbers | {"bias": (bias, "<f4")}).items():
            packed[name] = base64.b64encode(tensor.numpy().astype(kind).tobytes()).decode()
    return packed

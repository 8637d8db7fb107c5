"""Both nets of images: shapes, the split at the first layer, scale at the start, normalisation, memory formats."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import SplitsFirstLayer
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.image_layers import normalization, start
from ebm_course.energies.wide_resnet import ResidualBlock, WideResNet

NETS: dict[str, Callable[..., ConvNet | WideResNet]] = {
    "convnet": lambda shape=(3, 8, 8), **options: ConvNet(shape, 10, **{"width": 16, **options}),
    "wide_resnet": lambda shape=(3, 8, 8), **options: WideResNet(shape, 10, **{"depth": 16, "widen": 1, **options}),
}
both = pytest.mark.parametrize("name", NETS)
norms = pytest.mark.parametrize("norm", [None, "batch", "group"])


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def images(n: int = 4, shape: tuple[int, int, int] = (3, 8, 8)) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def n_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 14, 14), (1, 28, 28), (3, 16, 16), (3, 32, 32), (2, 7, 5)])
@both
def test_images_of_any_size_become_logits_that_are_linear_in_the_features(name: str, shape: tuple[int, int, int]):
    net, x = NETS[name](shape).eval(), images(2, shape)
    assert net(x).shape == (2, 10)
    torch.testing.assert_close(net.to_logits(net.features(x)), net(x))
    assert net(x[:0]).shape == (0, 10)


@norms
@both
def test_the_net_is_what_follows_its_first_layer_which_is_affine(name: str, norm: str | None):
    net, x = NETS[name](norm=norm).eval(), images()
    assert isinstance(net, SplitsFirstLayer)
    assert torch.equal(net.from_first_layer(net.first_layer(x)), net(x))
    middle = (net.first_layer(x[:1]) + net.first_layer(x[1:2])) / 2
    torch.testing.assert_close(net.first_layer((x[:1] + x[1:2]) / 2), middle)


def test_wrn_28_10_has_its_published_number_of_parameters():
    assert n_parameters(WideResNet((3, 32, 32), 10, slope=0, norm="batch")) == 36_479_194


@pytest.mark.parametrize(
    "depth, widen, millions", [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (16, 8, 11.0), (22, 8, 17.2)]
)
def test_other_depths_and_widths_have_theirs(depth: int, widen: int, millions: float):
    net = WideResNet((3, 32, 32), 10, depth=depth, widen=widen, norm="batch")  # Zagoruyko and Komodakis (2016), Table 4
    assert n_parameters(net) / 1e6 == pytest.approx(millions, abs=0.06)


def test_a_depth_of_28_has_twelve_blocks_of_two_convolutions_and_halves_the_image_twice():
    net = WideResNet((3, 32, 32), 10, widen=1)
    assert sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in net.modules()) == 25
    sizes = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, given, out: sizes.append(tuple(out.shape[1:])))
    net(torch.zeros(1, 3, 32, 32))
    assert sizes == [(16, 32, 32)] * 4 + [(32, 16, 16)] * 4 + [(64, 8, 8)] * 4


@pytest.mark.parametrize("depth", [10, 28, 100])
def test_without_normalisation_activations_keep_their_scale_however_deep_the_net_is(depth: int):
    net, rms = WideResNet((3, 16, 16), 10, depth=depth, widen=1), []
    for block in net.blocks:
        block.register_forward_hook(lambda module, given, out: rms.append(out.detach().square().mean().sqrt().item()))
    logits = net(images(16, (3, 16, 16))).detach()
    assert min(rms) > 0.4 and max(rms) < 2, rms
    assert 0.1 < logits.square().mean().sqrt() < 3


@pytest.mark.parametrize("side", [8, 14, 28])
def test_the_small_net_starts_with_logits_of_the_order_of_one(side: int):
    logits = ConvNet((1, side, side), 10)(images(64, (1, side, side))).detach()
    assert 0.1 < logits.square().mean().sqrt() < 3


def test_a_leaky_rectifier_between_two_layers_keeps_the_mean_square():
    layers = [nn.Sequential(nn.Linear(1000, 1000), nn.LeakyReLU(0.5)) for _ in range(6)]
    net = nn.Sequential(*layers, nn.Linear(1000, 1000))
    start(net, slope=0.5)
    x = torch.randn(200, 1000)
    kept = (net(x).detach().square().mean() / (2 / (1 + 0.5**2))).item()  # the first layer has no rectifier before it
    assert 0.8 < kept < 1.25
    assert not any(layer.bias.any() for layer in net.modules() if isinstance(layer, nn.Linear))


@norms
@both
def test_in_eval_mode_rows_do_not_see_one_another(name: str, norm: str | None):
    net, x = NETS[name](norm=norm).eval(), images()
    torch.testing.assert_close(torch.cat([net(row[None]) for row in x]), net(x))


@both
def test_batch_norm_mixes_rows_in_train_mode_and_the_others_do_not(name: str):
    mixes = {}
    for norm in (None, "batch", "group"):
        net, x = NETS[name](norm=norm).train(), images()
        mixes[norm] = not torch.allclose(net(x)[:2], net(x[:2]), atol=1e-4)
    assert mixes == {None: False, "batch": True, "group": False}


@both
def test_what_is_normalised_is_every_convolution_but_shortcuts(name: str):
    net = NETS[name](norm="batch")
    n_convolutions = sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in net.modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == n_convolutions


def test_a_block_adds_to_what_enters_it():
    block, x = ResidualBlock(8, 8, stride=1, slope=0.2, norm=None, dropout=0), images(shape=(8, 4, 4))
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    assert torch.equal(block(x), x)


@norms
@both
def test_channels_last_gives_the_same_numbers(name: str, norm: str | None):
    net, x = NETS[name](norm=norm).eval(), images()
    expected = net(x)
    net = net.to(memory_format=torch.channels_last)
    h = net.first_layer(x.to(memory_format=torch.channels_last))
    assert h.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(net.from_first_layer(h), expected, atol=1e-5, rtol=1e-4)


@both
def test_the_slope_below_zero_is_the_one_asked_for(name: str):
    slopes = {m.negative_slope for m in NETS[name](slope=0.3).modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.3}


def test_dropout_works_in_train_mode_alone():
    net, x = NETS["wide_resnet"](dropout=0.5), images()
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    "x", [images()[0], images(shape=(1, 8, 8)), images(shape=(3, 8, 9)), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)]
)
@both
def test_images_of_another_shape_or_kind_are_refused(name: str, x: Tensor):
    with pytest.raises(ValueError, match=r"this net reads real-valued images \(N, 3, 8, 8\): got \("):
        NETS[name]()(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@both
def test_images_of_another_type_than_the_weights_are_refused_but_under_autocast(name: str, dtype: torch.dtype):
    net, x = NETS[name](), images().to(dtype)
    with pytest.raises(ValueError, match=rf"this net reads images of torch.float32, as .* got {dtype}\. Use x\.to\("):
        net(x)
    assert net.to(dtype)(x).dtype == dtype
    if dtype != torch.float64:  # which autocast leaves alone
        with torch.autocast("cpu", dtype):
            assert net.float()(x).dtype == dtype


@both
def test_a_pixel_out_of_range_is_no_fault_for_a_net(name: str):
    assert NETS[name]()(5 * images()).isfinite().all()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: WideResNet((3, 8, 8), 10, depth=12), "a depth of 6 n \\+ 4, as 10, 16, 22 or 28: got 12"),
        (lambda: WideResNet((3, 8, 8), 10, depth=4), "a depth of 6 n \\+ 4.*: got 4"),
        (lambda: WideResNet((3, 8, 8), 10, depth=10, dropout=1.0), "dropout is a probability .*: got 1"),
        (lambda: WideResNet((3, 8, 8), 10, widen=0), "1 or more each"),
        (lambda: WideResNet((3, 8, 8), 10, depth=10.0), "a depth of 6 n \\+ 4.*: got 10.0"),
        (lambda: WideResNet((3, 8, 8), 10, depth=10, widen=1.5), "whole numbers .*got .*, 10 and 1.5"),
        (lambda: WideResNet((3, 8, 8), 10, depth=10, slope=torch.nan), "slope .* a finite number: got nan"),
        (lambda: ConvNet((3, 8, 8), 10, slope=torch.inf), "slope .* a finite number: got inf"),
        (lambda: ConvNet((3, 8, 8.0), 10), r"whole numbers .*got \(3, 8, 8.0\), 10 and 32, 64"),
        (lambda: ConvNet((3, 8, 8), 2.5), "whole numbers .*2.5 and 32, 64"),
        (lambda: ConvNet((3, 8, 8), 10, width=2.5), "whole numbers .*10 and 2.5, 64"),
        (lambda: ConvNet((3, 8, 8), 10, n_features=torch.nan), "whole numbers .*10 and 32, nan"),
        (lambda: ConvNet(8, 10), "got 8, 10 and 32, 64"),
        (lambda: ConvNet((3, 8, 0), 10), "1 or more each: got \\(3, 8, 0\\), 10 and 32"),
        (lambda: ConvNet((8, 8), 10), r"a shape \(C, H, W\)"),
        (lambda: ConvNet((1, 8, 8), 10, norm="layer"), "norm is None, 'batch' or 'group': got 'layer'"),
        (lambda: normalization("group", 12), "group norm has 8 groups: got 12 channels"),
    ],
)
def test_sizes_of_which_no_net_can_be_made_are_refused(make: Callable[[], nn.Module], words: str):
    with pytest.raises(ValueError, match=words):
        make()


def spread_over_he(weight: Tensor, slope: float) -> float:
    """The weights' standard deviation over that of He et al. (2015), Eq. 15."""
    return float(weight.detach().std()) / math.sqrt(2 / (1 + slope**2) / weight[0].numel())


@pytest.mark.parametrize("slope", [0.0, 0.9])
def test_weights_start_as_wide_as_their_slope_asks_and_second_convolutions_shrink_with_depth(slope: float) -> None:
    torch.manual_seed(0)
    small = ConvNet((1, 8, 8), 10, width=8, slope=slope)
    wide, normal = (WideResNet((3, 8, 8), 10, depth=16, widen=1, slope=slope, norm=norm) for norm in (None, "group"))
    hidden = [layer.weight for layer in small.hidden if isinstance(layer, nn.Linear)]
    blocks, others = ([b for b in net.blocks if isinstance(b, ResidualBlock)] for net in (wide, normal))
    expected = {1.0: hidden + [b.conv1.weight for b in blocks] + [b.conv2.weight for b in others]}
    expected[1 / math.sqrt(6)] = [b.conv2.weight for b in blocks]  # six blocks
    for ratio, weights in expected.items():
        for weight in weights:
            assert abs(spread_over_he(weight, slope) / ratio - 1) < 5 / math.sqrt(2 * weight.numel())


def test_a_block_that_halves_the_image_and_keeps_its_channels_has_a_shortcut() -> None:
    block = ResidualBlock(16, 16, stride=2, slope=0.2, norm=None, dropout=0)
    assert block(torch.zeros(2, 16, 8, 8)).shape == (2, 16, 4, 4)

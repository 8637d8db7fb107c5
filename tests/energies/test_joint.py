"""A classifier's logits as energies: identities of p(x, y), gradients, the row rule, exact sums on a small domain."""

from __future__ import annotations

import itertools
import pickle

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Conditional, Selectable, SplitsFirstLayer, energies_of, energy_grad, frozen, select
from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint

SHAPE, K = (1, 4, 4), 3


def joint() -> Joint:
    torch.manual_seed(0)
    return Joint(ConvNet(SHAPE, K, width=4)).double().eval()


def images(n: int = 6) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def labels(n: int = 6) -> Tensor:
    return torch.arange(n) % K


def test_log_p_of_image_and_class_is_that_of_the_image_plus_that_of_the_class_given_it():
    energy, x, y = joint(), images(), labels()
    torch.testing.assert_close(-energy.given(y)(x), -energy(x) + energy.log_likelihood(y)(x))
    torch.testing.assert_close(energy.negative_log_likelihood(y)(x), -energy.log_likelihood(y)(x))


def test_by_hand_for_a_classifier_whose_logits_are_the_state():
    energy, x = Joint(nn.Identity()), torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    y = torch.tensor([0, 1])
    torch.testing.assert_close(energy(x), -torch.tensor([2.0, torch.e + torch.e**3]).log())
    assert energy.given(y)(x).tolist() == [0.0, -3.0]
    torch.testing.assert_close(energy.log_likelihood(y)(x), torch.tensor([0.5, 1 / (1 + torch.e**-2)]).log())


def test_a_shift_of_all_logits_moves_the_energies_and_not_the_classes():
    net, x, y = nn.Linear(2, K), torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), labels(5)
    energy = Joint(net)
    with torch.no_grad():
        before = energy(x), energy.given(y)(x), energy.log_likelihood(y)(x)
        net.bias += 7
        after = energy(x), energy.given(y)(x), energy.log_likelihood(y)(x)
    torch.testing.assert_close(after[0], before[0] - 7)
    torch.testing.assert_close(after[1], before[1] - 7)
    torch.testing.assert_close(after[2], before[2])


def slopes(energy, x: Tensor, step: float = 1e-6) -> Tensor:
    """The gradient, entry by entry, by central differences."""
    out = torch.zeros_like(x)
    with torch.no_grad():
        for place in itertools.product(*map(range, x.shape[1:])):
            move = torch.zeros_like(x)
            move[(slice(None), *place)] = step
            out[(slice(None), *place)] = (energy(x + move) - energy(x - move)) / (2 * step)
    return out


@pytest.mark.parametrize("name", ["log p(x)", "log p(x, y)", "log p(y | x)", "-log p(y | x)"])
def test_the_gradient_in_the_image_is_that_of_finite_differences(name: str):
    model, x, y = joint(), images(), labels()
    energy = {
        "log p(x)": model,
        "log p(x, y)": model.given(y),
        "log p(y | x)": model.log_likelihood(y),
        "-log p(y | x)": model.negative_log_likelihood(y),
    }[name]
    with frozen(energy):
        torch.testing.assert_close(energy_grad(energy, x)[1], slopes(energy, x), atol=1e-8, rtol=1e-6)


def test_the_gradient_of_log_p_of_x_is_the_mean_over_classes_of_that_of_log_p_of_x_and_y():
    model, x = joint(), images()
    p = model.logits(x).softmax(dim=1).detach()
    of_classes = [-energy_grad(model.given(torch.full((6,), k)), x)[1] for k in range(K)]
    mean = sum(p[:, k, None, None, None] * grad for k, grad in enumerate(of_classes))
    torch.testing.assert_close(-energy_grad(model, x)[1], mean)


@pytest.mark.parametrize("of", ["given", "log_likelihood", "negative_log_likelihood"])
def test_row_m_belongs_to_class_m_over_k_and_chains_may_leave(of: str):
    model, x, y = joint(), images(6), torch.tensor([2, 0])
    energy = getattr(model, of)(y)
    torch.testing.assert_close(energy(x), getattr(model, of)(torch.tensor([2, 2, 2, 0, 0, 0]))(x))
    assert isinstance(energy, Selectable)
    torch.testing.assert_close(select(energy, torch.tensor([1]))(x[3:]), energy(x)[3:])
    with pytest.raises(ValueError, match="takes K rows for each of its 2 conditions"):
        energy(x[:3])


def test_all_its_energies_are_frozen_with_the_classifier():
    model, y = joint().train(), labels(2)
    for energy in (model, model.given(y), model.log_likelihood(y), model.negative_log_likelihood(y)):
        with frozen(energy):
            assert not model.classifier.training and not energy(images(2)).requires_grad
        assert model.classifier.training and energy(images(2)).requires_grad


def test_on_an_enumerable_domain_the_joint_sums_to_one_and_its_marginals_and_conditionals_are_the_energies_own():
    model = joint()
    x = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=6)), dtype=torch.float64)  # (64, 6)
    x = torch.cat([x, -torch.ones(64, 10, dtype=torch.float64)], dim=1).view(64, *SHAPE)  # six pixels are free
    with torch.no_grad():
        log_z = torch.logsumexp(-energies_of(model, x), dim=0)  # of images alone
        log_joint = torch.stack([-model.given(torch.full((64,), k))(x) for k in range(K)], dim=1) - log_z
        p = log_joint.exp()  # (64, K), with the Z of the images
        torch.testing.assert_close(p.sum(), torch.ones((), dtype=torch.float64))
        torch.testing.assert_close(p.sum(dim=1), (-model(x) - log_z).exp())
        for k in range(K):
            given_x = (p[:, k] / p.sum(dim=1)).log()
            torch.testing.assert_close(model.log_likelihood(torch.full((64,), k))(x), given_x)


def test_the_energy_is_that_of_its_first_layers_output():
    model, x = joint(), images()
    assert isinstance(model, SplitsFirstLayer) and isinstance(model, Conditional)
    h = model.first_layer(x)
    assert h.shape == (6, 4, 4, 4)
    assert torch.equal(model.from_first_layer(h), model(x))
    with pytest.raises(TypeError, match="got Identity, expected one with first_layer and from_first_layer"):
        Joint(nn.Identity()).first_layer(x)


def test_energies_of_sixteen_bits_are_summed_in_thirty_two():
    energy, x = Joint(nn.Identity()), torch.tensor([[8.0, 8.0]], dtype=torch.bfloat16)
    assert energy(x).dtype == torch.float32
    assert energy(x).item() == pytest.approx(-(8 + torch.tensor(2.0).log().item()), abs=1e-5)  # 8.6875 in bfloat16


@pytest.mark.parametrize("y", [torch.zeros(2, 1).long(), torch.zeros(2), torch.zeros(2).int()])
def test_what_are_no_classes_is_refused(y: Tensor):
    for make in (joint().given, joint().log_likelihood, joint().negative_log_likelihood):
        with pytest.raises(ValueError, match=r"classes are int64 \(N,\), one a chain: got \(2"):
            make(y)


@pytest.mark.parametrize("wrong", [-1, K])
def test_a_class_out_of_range_is_refused(wrong: int):
    energy = joint().given(torch.tensor([0, wrong]))
    with pytest.raises(ValueError, match=f"a class is out of range: expected 0 to 2, got .*{wrong}"):
        energy(images(2))


def test_a_classifier_without_logits_for_every_row_is_refused():
    with pytest.raises(
        ValueError, match=r"a classifier maps \(N, \.\.\.\) to logits \(N, K\), K > 0: got \(6,\) for 6 rows"
    ):
        Joint(nn.Flatten(0))(torch.zeros(6))
    with pytest.raises(ValueError, match=r"got \(1, 6\) for 6 rows"):
        Joint(nn.Unflatten(0, (1, 6)))(torch.zeros(6))
    with pytest.raises(ValueError, match=r"K > 0: got \(6, 0\) for 6 rows"):
        Joint(nn.Identity())(torch.zeros(6, 0))


class Returns(nn.Module):
    def __init__(self, what: object):
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> object:
        return self.what


@pytest.mark.parametrize(
    "what, got", [((torch.zeros(2, 3),), "tuple"), ({"logits": 0}, "dict"), (torch.zeros(2, 3).cfloat(), "complex64")]
)
def test_what_is_no_tensor_of_real_logits_is_refused(what: object, got: str):
    with pytest.raises(TypeError, match=rf"a tensor of real logits \(N, K\): got .*{got}\. Wrap the net"):
        Joint(Returns(what))(torch.zeros(2, 1))


def test_no_images_of_no_classes_have_no_energies():
    model, none = joint(), torch.zeros(0).long()
    for of in (model.given, model.log_likelihood, model.negative_log_likelihood):
        assert of(none)(images(0)).shape == (0,)


def test_an_energy_of_a_class_can_be_pickled():
    joint, x, y = Joint(nn.Linear(2, 3)), torch.randn(4, 2), torch.tensor([0, 2, 1, 0])
    for energy in (joint.given(y), joint.log_likelihood(y), joint.negative_log_likelihood(y)):
        again = pickle.loads(pickle.dumps(energy))
        assert torch.equal(again(x), energy(x)) and again.module is not joint


def test_classes_are_a_tensor() -> None:
    joint = Joint(nn.Linear(2, 3))
    for given in (joint.given, joint.negative_log_likelihood):
        with pytest.raises(TypeError, match="classes are a tensor"):
            given([0, 1])  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-100, -1, 5])
def test_no_wrong_class_is_passed_over_in_silence(wrong: int) -> None:
    energy = Joint(nn.Sequential(nn.Flatten(), nn.Linear(4, 5)))
    y = torch.tensor([0, wrong])
    for given in (energy.given(y), energy.log_likelihood(y), energy.negative_log_likelihood(y)):
        with pytest.raises(ValueError, match="a class is out of range: expected 0 to 4"):
            given(torch.zeros(2, 1, 2, 2))

"""The image method denoise-network: what it promises of any image, and what it says of its noise."""

import pytest
import torch
from tiny_weights import tiny_denoiser

import microlocal as ml
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.progress import SILENT
from microlocal.core.seeding import generator
from microlocal.networks import LearnedDiffusivity
from microlocal.networks.denoisers import denoiser, load_denoiser
from microlocal.networks.weights import save_weights, shipped_weights
from microlocal.reconstruction.images.models import denoiser_of
from microlocal.reconstruction.images.tiles import in_tiles, reach_of
from microlocal.reconstruction.images.trial import cartoon


def noisy(noise=0.1, size=48):
    return cartoon(size) + noise * torch.randn(size, size, generator=generator(0))


@pytest.fixture(scope="module", params=["nonexpansive", "shrinkage"])
def weights(request, tmp_path_factory):
    return tiny_denoiser(tmp_path_factory.mktemp("weights") / "tiny", request.param)


def test_what_is_proved_is_measured_on_the_image(weights):
    y = noisy()
    found = ml.denoise_network(y, weights)
    m, x = y.double().mean(), found.image.double()
    growth = float((x - m).norm() / (y.double() - m).norm())
    first, *_, last = found.certificates
    assert first.kind == "proved"
    assert first.value == pytest.approx(growth, rel=1e-6)
    assert growth < 1
    assert last.value == pytest.approx(float((x.mean() - m).abs() / y.double().square().mean().sqrt()), abs=1e-9)
    for certificate in found.certificates:
        assert certificate.holds
        assert certificate.falsify(1) <= certificate.bound
    assert first.hypotheses


def test_only_the_non_expansive_one_promises_distances(tmp_path):
    counts = [len(ml.denoise_network(noisy(), tiny_denoiser(tmp_path / k, k)).certificates)
              for k in ("shrinkage", "nonexpansive")]  # fmt: skip
    assert counts == [2, 3]


def test_distances_are_promised_for_the_numbers_of_one_image_and_these_are_named(tmp_path):
    """Half of an image is flat, so that no noise is found: a little of it there, and all of the image is denoised."""
    u = torch.zeros(64, 64, dtype=torch.float64)
    u[:, 32:] = 1.0 + 0.1 * torch.randn(64, 32, generator=generator(0), dtype=torch.float64)
    v = u + 1e-4 * torch.randn(64, 64, generator=generator(1), dtype=torch.float64)
    weights = tiny_denoiser(tmp_path / "tiny")
    one, other = ml.denoise_network(u, weights), ml.denoise_network(v, weights)
    apart = float((one.image - other.image).norm() / (u - v).norm())
    assert apart > 10  # each with numbers of its own
    claim = other.certificates[1]
    assert claim.claim.startswith("At the scale and noise level of this image")
    (a,), (s,), sigma = other.config["black"], other.config["span"], float(other.noise)
    (fixed,) = (h for h in claim.hypotheses if h.statement == "a, s and σ are held at those of this image")
    assert fixed.measured == f"a = {a:.6g}, s = {s:.6g}, σ = {sigma:.6g}"
    network = load_denoiser(weights)[0].double()
    with torch.no_grad():
        moved = [s * network(((x - a) / s)[None, None], sigma / s) for x in (u, v)]
    assert float((moved[0] - moved[1]).norm() / (u - v).norm()) <= claim.bound
    assert fixed not in other.certificates[0].hypotheses  # a statement on one image and its mean


def test_it_is_the_network_in_the_unit_of_the_image(weights):
    y = noisy().double()
    found = ml.denoise_network(y, weights, noise=0.1)
    network, _ = load_denoiser(weights)
    (black,), (span,) = found.config["black"], found.config["span"]
    with torch.no_grad():
        expected = black + span * network.double()(((y - black) / span)[None, None], 0.1 / span)[0, 0]
    assert torch.allclose(found.image, expected, atol=1e-12)
    assert torch.equal(found.residual, y - found.image)
    assert 0.7 < span < 1.6


def test_negatives_and_shifts_change_nothing(weights):
    y = noisy().double()
    plain = ml.denoise_network(y, weights, noise=0.1).image
    shifted = ml.denoise_network(40 * y - 1000, weights, noise=4.0).image
    assert torch.allclose(shifted, 40 * plain - 1000, atol=1e-5)


@pytest.mark.parametrize("unit", [2.0**-110, 2.0**100])
def test_tiny_and_huge_units_change_nothing(weights, unit):
    plain, scaled = ml.denoise_network(noisy(), weights), ml.denoise_network(unit * noisy(), weights)
    assert torch.equal(scaled.noise, unit * plain.noise)
    assert torch.allclose(scaled.image / unit, plain.image, atol=1e-5)
    for one, other in zip(plain.certificates, scaled.certificates, strict=True):
        assert other.holds
        assert other.value == pytest.approx(one.value, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("noise", [1e38, 1e300])
def test_noise_that_the_image_cannot_have_is_refused(weights, noise):
    with pytest.raises(InputError, match="noise"):
        ml.denoise_network(255 * noisy(), weights, noise=noise)


def test_results_that_are_not_finite_are_refused_by_the_name_of_the_weights(tmp_path):
    path = tiny_denoiser(tmp_path / "spoilt", "shrinkage")
    network, card = load_denoiser(path)
    for parameter in network.parameters():
        parameter.data.fill_(torch.nan)
    save_weights(path, network.state_dict(), card)
    with pytest.raises(InputError, match="the result of the weights spoilt: expected finite values"):
        ml.denoise_network(noisy(), path)
    with pytest.raises(InputError, match="the result of the weights AdaptiveShrinkage"):
        ml.denoise_network(noisy(), network)
    with pytest.raises(InputError, match="the result of the weights spoilt"):
        denoiser_of(None, path).run(noisy(), 0.1, SILENT)


def test_noise_unlike_that_of_the_training_is_told(tmp_path):
    weights = tiny_denoiser(tmp_path / "tiny")
    assert len(ml.denoise_network(noisy(), weights).notes) == 1
    for noise, said in ((1.0, "0.02 to 0.2"), (1e-3, "0.02 to 0.2")):
        found = ml.denoise_network(noisy(), weights, noise=noise)
        assert said in found.notes[-1]
        (span,) = found.config["span"]
        assert 0.0199 <= noise / span <= 0.2001  # the network sees noise of a level that it knows
        assert all(c.holds for c in found.certificates)


def test_an_image_of_one_block_is_not_said_to_have_noise_of_a_hundred_thousand_times_its_contrast(weights):
    notes = " ".join(ml.denoise_network(noisy(size=4), weights, noise=0.1).notes)
    assert "The noise is more than the contrast of the image" in notes


def test_without_noise_the_image_stays_as_it_is(weights):
    drawn = torch.zeros(32, 32)
    drawn[8:20, 8:20] = 1.0
    for image in (drawn, torch.full((16, 16), 7.0)):
        found = ml.denoise_network(image, weights)
        assert torch.equal(found.image, image)
        assert "No noise" in found.notes[-1]
        assert all(c.holds for c in found.certificates)


@pytest.mark.parametrize("shape", [(4, 4), (5, 37), (64, 9), (3, 17, 16)])
def test_any_size(weights, shape):
    y = torch.rand(shape, generator=generator(1))
    found = ml.denoise_network(y, weights)
    assert found.image.shape == y.shape
    assert bool(torch.isfinite(found.image).all())


@pytest.mark.parametrize(
    "architecture",
    [
        {"kind": "adaptive-shrinkage", "widths": [4, 5, 6]},
        {"kind": "adaptive-shrinkage", "widths": [3, 4], "pairs": 2},
        {"kind": "nonexpansive", "dilations": [1, 2, 1, 2], "filters": 4, "side": 5},
    ],
    ids=["three levels", "two levels", "nonexpansive"],
)
def test_tiles_give_exactly_the_whole(architecture):
    torch.manual_seed(1)
    network = denoiser(architecture).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    y = torch.rand(397, 211, dtype=torch.float64, generator=generator(0))

    def run(part):
        with torch.no_grad():
            return network(part[None, None], 0.1)[0, 0]

    tiled = in_tiles(run, y, reach_of(network), whole=100, tile=192)
    assert float((tiled - run(y)).abs().max()) < 1e-12


def test_no_pixel_sees_further_than_its_reach():
    torch.manual_seed(1)
    for architecture in ({"kind": "adaptive-shrinkage", "widths": [4, 5, 6]},
                         {"kind": "nonexpansive", "dilations": [1, 3], "filters": 4, "side": 5}):  # fmt: skip
        network = denoiser(architecture).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        y = torch.rand(1, 1, 301, 301, dtype=torch.float64, generator=generator(0)).requires_grad_()
        (slope,) = torch.autograd.grad(network(y, 0.1)[0, 0, 150, 150], y)
        seen = slope[0, 0].nonzero()
        furthest = int((seen - 150).abs().max())
        assert furthest <= reach_of(network)
        assert furthest > 0.4 * reach_of(network)
    assert reach_of(torch.nn.Identity()) is None


def test_a_network_as_an_object_is_left_as_it_is():
    network = denoiser({"kind": "nonexpansive", "dilations": [1], "filters": 4, "side": 3})
    found = ml.denoise_network(noisy().double(), network)
    assert found.image.dtype == torch.float64
    assert next(network.parameters()).dtype == torch.float32


def test_networks_that_take_no_noise_level_are_called_without():
    network, y = LearnedDiffusivity(2, 4), noisy(size=16).double()
    found = ml.denoise_network(y, network, noise=0.1)
    (a,), (s,) = found.config["black"], found.config["span"]
    with torch.no_grad():
        expected = a + s * network.double()(((y - a) / s)[None, None])[0, 0]
    assert torch.allclose(found.image, expected, atol=1e-12)
    assert [c.holds for c in found.certificates] == [True, True, True]
    assert found.certificates[1].claim.startswith("Maximum-minimum principle")
    assert y.min() <= found.image.min() <= found.image.max() <= y.max()
    with pytest.raises(InputError, match=r"Conv2d: expected \(1, 1, 16, 16\), got \(1, 1, 14, 14\)"):
        ml.denoise_network(y, torch.nn.Conv2d(1, 1, 3), noise=0.1)


def test_weights_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected"):
        ml.denoise_network(noisy(), tmp_path / "none")
    with pytest.raises((UnknownNameError, InputError)):
        ml.denoise_network(noisy(), "shrinkag")
    with pytest.raises(InputError, match="the task denoising"):
        ml.denoise_network(noisy(), tiny_denoiser(tmp_path / "other", task="edges"))


@pytest.mark.parametrize(("name", "left"), [("shrinkage", 0.4), ("nonexpansive", 0.6)])
def test_the_shipped_weights_denoise(name, left):
    if name not in shipped_weights():
        pytest.skip(f"{name} does not ship")
    clean = cartoon(96)
    found = ml.denoise_network(noisy(0.1, 96), name)
    assert float((found.image - clean).norm()) < left * float((noisy(0.1, 96) - clean).norm())
    assert all(c.holds for c in found.certificates)

"""Folders of images: every format, values in [0, 1], windows that lie inside."""

import sys

import numpy as np
import pytest
import tifffile
import torch
from matplotlib.image import imsave
from PIL import Image

from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.data.objects import Object
from microlocal.data.phantoms import Ellipse
from microlocal.networks.catalogue import Weights
from microlocal.operators.ray_transform import RayTransform
from microlocal.training import ImageFolder, LearnTheInvisible, checked
from microlocal.training.folder import slices_of, window
from microlocal.training.scanned_picture import ScannedPicture
from microlocal.training.scans import ScanTable, scan_example
from microlocal.training.tiny import SCANS

RAMP = np.linspace(0, 1, 12 * 20).reshape(12, 20)
CT_NUMBERS = np.round(2000 * RAMP - 1000).astype("<i2")
COLOURS = np.round(255 * np.stack([RAMP, RAMP**2, 1 - RAMP], axis=-1)).astype(np.uint8)
GREY = COLOURS @ np.array([0.299, 0.587, 0.114]) / 255


def test_pictures_keep_their_grey_values(tmp_path):
    grey = np.round(255 * RAMP).astype(np.uint8)
    imsave(tmp_path / "a.png", np.stack([grey] * 3, axis=-1))
    tifffile.imwrite(tmp_path / "b.tif", grey // 2)
    for name, expected in (("a.png", grey / 255), ("b.tif", (grey // 2) / 255)):
        np.testing.assert_allclose(slices_of(tmp_path / name)[0].numpy(), expected, atol=1e-6)


def test_colours_become_luminance(tmp_path):
    imsave(tmp_path / "a.png", np.broadcast_to(np.array([255, 0, 0], np.uint8), (4, 5, 3)))
    np.testing.assert_allclose(slices_of(tmp_path / "a.png")[0].numpy(), 0.299, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_colours_of_a_tiff_become_luminance_too(tmp_path, kind):
    white = 1 if kind == np.float32 else np.iinfo(kind).max
    red, blue = np.zeros((2, 5, 6, 3))
    red[..., 0], blue[..., 2] = white, white
    blue[0], blue[1] = white, 0  # so that values span all there are
    pages = np.stack((red, blue)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb")
    first, second = slices_of(tmp_path / "a.tif")
    np.testing.assert_allclose(first.numpy(), 0.299, atol=3e-3)
    np.testing.assert_allclose(second[:, 0].numpy(), [1, 0, 0.114, 0.114, 0.114], atol=3e-3)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_taken_as_it_is_seen(tmp_path, kind):
    values = np.rint(np.iinfo(kind).max * RAMP).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    np.testing.assert_allclose(slices_of(tmp_path / "a.tif")[0].numpy(), 1 - RAMP, atol=3e-3)


def test_other_numbers_span_from_least_to_greatest(tmp_path):
    np.save(tmp_path / "a.npy", 300 * RAMP - 1000)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([5 * RAMP, 5 * RAMP + 5]).astype(np.float32))
    np.testing.assert_allclose(slices_of(tmp_path / "a.npy")[0].numpy(), RAMP, atol=1e-6)
    volume = slices_of(tmp_path / "b.tif")
    assert volume.shape == (2, 12, 20)
    np.testing.assert_allclose(volume.numpy(), np.stack([RAMP / 2, RAMP / 2 + 0.5]), atol=1e-6)


def test_nifti_slices_are_the_last_axis(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.stack([RAMP, 1 - RAMP, RAMP], axis=-1).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii.gz")
    read = slices_of(tmp_path / "v.nii.gz")
    np.testing.assert_allclose(read.numpy(), np.moveaxis(volume, -1, 0), atol=1e-6)


def dicom(path, values=CT_NUMBERS, meaning="MONOCHROME2"):
    """Write a slice of CT numbers as scanners do, or other values."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns = RAMP.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = values[0, 0].size, meaning
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * values.itemsize
    data.HighBit, data.PixelRepresentation = 8 * values.itemsize - 1, int(values.dtype.kind == "i")
    data.PixelData = values.tobytes()
    data.save_as(path)


def test_dicom(tmp_path):
    dicom(tmp_path / "slice")
    np.testing.assert_allclose(slices_of(tmp_path / "slice")[0].numpy(), RAMP, atol=1e-3)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_dicom_whose_zero_is_white_is_taken_as_it_is_seen(tmp_path, kind):
    dicom(tmp_path / "slice", np.round(255 * RAMP).astype(kind), "MONOCHROME1")
    np.testing.assert_allclose(slices_of(tmp_path / "slice")[0].numpy(), 1 - RAMP, atol=3e-3)


def test_colours_of_dicom_and_npy_are_no_volume(tmp_path):
    dicom(tmp_path / "a.dcm", COLOURS, "RGB")
    np.save(tmp_path / "b.npy", COLOURS)
    np.save(tmp_path / "c.npy", np.stack([COLOURS, COLOURS[::-1]]))
    for name in ("a.dcm", "b.npy"):
        np.testing.assert_allclose(slices_of(tmp_path / name).numpy(), GREY[None], atol=3e-3)
    np.testing.assert_allclose(slices_of(tmp_path / "c.npy").numpy(), np.stack([GREY, GREY[::-1]]), atol=3e-3)


def test_a_dicom_of_a_palette_is_refused(tmp_path):
    dicom(tmp_path / "slice", np.round(255 * RAMP).astype(np.uint8), "PALETTE COLOR")
    with pytest.raises(InputError, match="palette"):
        slices_of(tmp_path / "slice")


def test_a_png_of_16_bits_spans_from_least_to_greatest(tmp_path):
    """A camera of 12 bits fills a sixteenth of them."""
    Image.fromarray(np.round(4095 * RAMP).astype(np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_allclose(slices_of(tmp_path / "a.png")[0].numpy(), RAMP, atol=3e-4)
    Image.fromarray(np.round(100 * RAMP).astype(np.uint8)).save(tmp_path / "b.png")
    assert float(slices_of(tmp_path / "b.png").max()) == pytest.approx(100 / 255)


def test_dicom_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    dicom(tmp_path / "slice")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=r"pip install 'microlocal\[io\]'"):
        slices_of(tmp_path / "slice")


def test_a_folder_lists_images_only_and_draws_the_same_for_the_same_seed(tmp_path):
    (tmp_path / "inner").mkdir()
    np.save(tmp_path / "inner" / "a.npy", RAMP)
    np.save(tmp_path / "b.npy", np.stack([RAMP, RAMP.T.reshape(12, 20)]))
    (tmp_path / "notes.txt").write_text("no image")
    folder = ImageFolder.at(tmp_path)
    assert [name for name, _ in folder.listing()] == ["b.npy", "a.npy"]
    one, two, other = (folder.draw((8, 8), generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.dtype == torch.float32


@pytest.mark.parametrize("content", [None, "no image"])
def test_a_folder_without_images_is_refused(tmp_path, content):
    place = tmp_path / "folder"
    if content:
        place.mkdir()
        (place / "notes.txt").write_text(content)
    with pytest.raises(InputError, match=r"PNG, JPEG, TIFF.*folder"):
        ImageFolder.at(place)


@pytest.mark.parametrize(
    "array", [np.full((3, 3), np.nan), np.zeros(4), np.zeros((0, 3)), np.zeros((2, 2), complex)], ids=str
)
def test_arrays_that_are_no_images_are_refused_by_name(tmp_path, array):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(InputError, match=r"bad\.npy"):
        slices_of(tmp_path / "bad.npy")


def test_a_damaged_picture_is_refused_by_name(tmp_path):
    imsave(tmp_path / "a.png", RAMP)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"a\.png"):
        slices_of(tmp_path / "a.png")


def plane(height, width):
    """An image whose values are its own coordinates, so that a window says where each pixel was read."""
    return (torch.arange(height)[:, None] * 1000.0 + torch.arange(width)[None]).float()


def test_windows_that_are_not_turned_are_cut_out_exactly():
    image = plane(30, 50)
    for seed in range(20):
        part = window(image, (7, 12), generator(seed), turn=False)
        row, col = int(part[0, 0]) // 1000, int(part[0, 0]) % 1000
        assert torch.equal(part, image[row : row + 7, col : col + 12])


@pytest.mark.parametrize("shape", [(16, 16), (15, 8)])
@pytest.mark.parametrize("size", [(40, 33), (12, 70)])
def test_turned_windows_keep_distances_and_lie_inside(size, shape):
    rows, cols = torch.meshgrid(torch.arange(size[0]).float(), torch.arange(size[1]).float(), indexing="ij")
    for seed in range(20):
        y, x = (window(axis, shape, generator(seed)) for axis in (rows, cols))
        inner = (slice(2, -2), slice(2, -2))  # at the border, values stop at the outermost pixel centres
        down = torch.hypot(y[1:] - y[:-1], x[1:] - x[:-1])[inner]
        right = torch.hypot(y[:, 1:] - y[:, :-1], x[:, 1:] - x[:, :-1])[inner]
        step = float(down.median())
        assert step <= 1 + 1e-3
        torch.testing.assert_close(down, torch.full_like(down, step), atol=2e-3, rtol=0)
        torch.testing.assert_close(right, torch.full_like(right, step), atol=2e-3, rtol=0)
        assert min(float(y.min()), float(x.min())) >= 0
    assert len({float(window(rows, shape, generator(seed))[0, 0]) for seed in range(5)}) > 1


BEAM = ParallelBeam(tuple(np.radians(np.arange(-50, 50, 7.0))), Detector(47, 1.0))
GRID = Grid((32, 32), 1.0)


@pytest.fixture
def discs(tmp_path):
    """A folder with an empty slice and one of a disc, whose radius is half of what is in view."""
    y, x = np.mgrid[-60:60, -60:60] + 0.5
    np.save(tmp_path / "v.npy", np.stack([np.zeros((120, 140)), np.pad(np.hypot(x, y) < 30, ((0, 0), (10, 10)))]))
    return tmp_path


def test_a_scanned_picture_has_the_line_integrals_of_what_it_shows(discs):
    thing = ScannedPicture.drawn(ImageFolder.at(discs), GRID, generator(0))
    disc = Object((Ellipse(1.0, (8.0, 8.0)),))
    one, other = thing.sinogram(BEAM, 3), disc.sinogram(BEAM, 3)
    assert np.linalg.norm(one - other) < 0.02 * np.linalg.norm(other)
    assert np.linalg.norm(thing.image(GRID) - disc.image(GRID)) < 0.1 * np.linalg.norm(disc.image(GRID))


def test_a_picture_is_no_inverse_crime(discs):
    """The operator of a reconstruction misses its data by much of what it misses exact integrals by."""
    ray = RayTransform(BEAM, GRID)

    def missed(thing):
        return np.linalg.norm(ray(torch.from_numpy(thing.image(GRID))).numpy() - thing.sinogram(BEAM, 3))

    picture = ScannedPicture.drawn(ImageFolder.at(discs), GRID, generator(0))
    assert missed(picture) > 0.3 * missed(Object((Ellipse(1.0, (8.0, 8.0)),)))


def test_a_picture_is_turned_and_ends_at_the_circle(tmp_path):
    np.save(tmp_path / "half.npy", np.pad(np.ones((40, 20)), ((0, 0), (0, 20))))
    found = [ImageFolder.at(tmp_path).disc(32, generator(seed)) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert float((found[0] - found[2]).abs().max()) > 0.5
    y, x = np.mgrid[-16:16, -16:16] + 0.5
    assert float(found[0][torch.from_numpy(np.hypot(x, y) >= 16)].abs().max()) == 0
    assert float(found[0].mean()) == pytest.approx(np.pi / 8, abs=0.02)  # half of the disc, however it is turned


def test_scans_of_a_folder_alone_or_among_objects(discs):
    alone = {name: value for name, value in SCANS.items() if name != "objects"} | {"folder": str(discs)}
    example = scan_example(checked(ScanTable, alone, "[data]"), 0)
    assert set(example["truth"].unique().tolist()) >= {0.0, 1.0}
    assert torch.equal(example["truth"], scan_example(checked(ScanTable, alone, "[data]"), 0)["truth"])
    mixed = checked(ScanTable, alone | {"objects": {"ellipses": 0.5, "folder": 0.5}}, "[data]")
    kinds = [type(mixed.object(np.random.default_rng(seed))) for seed in range(40)]
    assert 10 < kinds.count(ScannedPicture) < 30
    for wrong in (SCANS | {"folder": str(discs)}, SCANS | {"objects": {"folder": 1.0}}, alone | {"folder": ""}):
        with pytest.raises(InputError, match=r"\[data\].*objects, or a folder of images"):
            checked(ScanTable, wrong, "[data]")


def test_the_card_names_the_folder_and_the_licence(discs):
    data = {name: value for name, value in SCANS.items() if name != "objects"}
    task = LearnTheInvisible(data | {"folder": str(discs), "licence": "mine"}, {"widths": [2, 2], "window": 16})
    card = task.card([task.example(0)])
    assert card["licence"] == "mine"
    assert card["trained on"]["data"]["folder"] == discs.name
    assert Weights("w", discs, card).trained_on().endswith(f"images of {discs.name}")


def test_a_folder_of_nothing_is_refused(tmp_path):
    np.save(tmp_path / "empty.npy", np.zeros((20, 20)))
    with pytest.raises(InputError, match="expected pictures of something"):
        ScannedPicture.drawn(ImageFolder.at(tmp_path), GRID, generator(0))

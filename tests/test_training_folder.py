"""Folders of images: every format, values in [0, 1], windows that lie inside."""

import sys

import numpy as np
import pytest
import tifffile
import torch
from matplotlib.image import imsave

from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.training import ImageFolder
from microlocal.training.folder import slices_of, window

RAMP = np.linspace(0, 1, 12 * 20).reshape(12, 20)


def test_pictures_keep_their_grey_values(tmp_path):
    grey = np.round(255 * RAMP).astype(np.uint8)
    imsave(tmp_path / "a.png", np.stack([grey] * 3, axis=-1))
    tifffile.imwrite(tmp_path / "b.tif", grey // 2)
    for name, expected in (("a.png", grey / 255), ("b.tif", (grey // 2) / 255)):
        np.testing.assert_allclose(slices_of(tmp_path / name)[0].numpy(), expected, atol=1e-6)


def test_colours_become_luminance(tmp_path):
    imsave(tmp_path / "a.png", np.broadcast_to(np.array([255, 0, 0], np.uint8), (4, 5, 3)))
    np.testing.assert_allclose(slices_of(tmp_path / "a.png")[0].numpy(), 0.299, atol=1e-6)


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


def dicom(path):
    """Write a slice of CT numbers as scanners do."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns = RAMP.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    data.PixelData = np.round(2000 * RAMP - 1000).astype("<i2").tobytes()
    data.save_as(path)


def test_dicom(tmp_path):
    dicom(tmp_path / "slice")
    np.testing.assert_allclose(slices_of(tmp_path / "slice")[0].numpy(), RAMP, atol=1e-3)


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

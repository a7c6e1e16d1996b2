from __future__ import annotations

import hashlib
import pickle
import shutil

import pytest
import torch
from torchvision import datasets

from datamodules.base import LoaderConfig
from datamodules.cifar import Cifar10
from datamodules.errors import DataError
from datamodules.registry import build


@pytest.mark.parametrize("sandbox", ["cifar10"], indirect=True)
class TestCifar10:
    def test_scaled_pixels_are_those_of_the_archive(self, sandbox):
        images, labels = next(iter(sandbox.build(batch_size=10).test_dataloader()))
        content = pickle.loads((sandbox.root / "cifar-10-batches-py/test_batch").read_bytes())
        pixels = torch.from_numpy(content["data"]).reshape(10, 3, 32, 32) / 255
        mean, std = (torch.tensor(values)[:, None, None] for values in (Cifar10.mean, Cifar10.std))
        torch.testing.assert_close(images, (pixels - mean) / std)
        assert labels.tolist() == content["labels"]

    def test_own_constants_replace_the_usual(self, sandbox):
        options = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
        data = build("cifar10", options, LoaderConfig(root=sandbox.root, calibration_images=4))
        images = torch.cat(data.calibration_batches())
        assert images.min() >= 0
        assert 0.9 < images.max() <= 1

    def test_a_damaged_file_is_refused_before_it_is_read(self, sandbox):
        (sandbox.root / "cifar-10-batches-py/test_batch").write_bytes(b"not a pickle")
        with pytest.raises(DataError, match=r"cifar10 is incomplete or damaged.*checksum"):
            sandbox.build().setup()

    def test_a_failed_download_says_so(self, sandbox, monkeypatch):
        def refuse(self):
            raise OSError("no route to host")

        monkeypatch.setattr(datasets.CIFAR10, "download", refuse)
        with pytest.raises(DataError, match=r"cifar10 cannot be downloaded \(no route to host\)"):
            sandbox.build(download=True).classes  # noqa: B018

    @pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
    def test_a_truncated_or_missing_file_is_named_with_the_way_out(self, sandbox, name):
        file = sandbox.root / "cifar-10-batches-py" / name
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError) as caught:
            sandbox.build().setup()
        assert f"damaged: {name} ({len(content) // 2} bytes) is truncated or damaged" in str(caught.value)
        assert "delete cifar-10-batches-py and unpack cifar-10-python.tar.gz again" in str(caught.value)
        file.unlink()
        with pytest.raises(DataError, match=rf"incomplete or damaged: {name} is missing"):
            sandbox.build().setup()

    def test_an_archive_that_is_not_unpacked_is_looked_at(self, sandbox, monkeypatch):
        shutil.rmtree(sandbox.root / "cifar-10-batches-py")
        with pytest.raises(DataError, match=r"cifar10 is not there\."):
            sandbox.build().setup()
        packed = sandbox.root / "cifar-10-python.tar.gz"
        packed.write_bytes(b"cut")
        with pytest.raises(
            DataError, match=r"tar\.gz \(3 bytes\) is truncated or damaged.*download https.* again"
        ):
            sandbox.build().setup()
        monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(b"cut").hexdigest())
        with pytest.raises(DataError, match=r"not there, but packed: unpack it with tar -xzf .*tar\.gz -C"):
            sandbox.build().setup()

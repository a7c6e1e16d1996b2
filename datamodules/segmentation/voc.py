"""Pascal VOC 2012 segmentation, and SBD's larger training list.

    ROOT/PATH/VOCdevkit/VOC2012/{JPEGImages, SegmentationClass, ImageSets/Segmentation}
    .../SegmentationClassAug, ImageSets/Segmentation/trainaug.txt     (for train: trainaug)

Label files are palette images whose indices are the ids: 0 for background, 1 to 20, and 255 along the
borders of objects, which is not scored. The public validation split is the test split here.

Sources: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4; Hariharan et al. 2011 (SBD, 10582 training
images, in the usual conversion of its boundaries to label maps), doi:10.1109/ICCV.2011.6126343.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

from datamodules.base import LoaderConfig, Split
from datamodules.errors import DataError, missing_data
from datamodules.image_lists import listed_names, read_lines
from datamodules.options import check_relative_path
from datamodules.segmentation.base import Colour, SegmentationData, SegmentationOptions
from datamodules.segmentation.labels import IGNORE, LabelIds, LabelledImage, check_files
from datamodules.segmentation.samples import Read, SegmentationReader

CLASSES = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
IDS = LabelIds({**{index: index for index in range(len(CLASSES))}, IGNORE: IGNORE}, palette=True)
TrainList = Literal["train", "trainaug"]
LAYOUT = """
DATA_ROOT/
  PATH/                         (option path; empty: the data root itself)
    VOCdevkit/VOC2012/
      JPEGImages/*.jpg
      SegmentationClass/*.png
      ImageSets/Segmentation/{train,val}.txt
      SegmentationClassAug/*.png                    (for train: trainaug)
      ImageSets/Segmentation/trainaug.txt           (if it is asked for)
"""


def palette_colour(index: int) -> Colour:
    """Return VOC's colour of a class: bit 3 i + c of the index is bit 7 - i of channel c."""
    channels = [sum((index >> (3 * i + c) & 1) << (7 - i) for i in range(3)) for c in range(3)]
    return channels[0], channels[1], channels[2]


@dataclass(frozen=True)
class VocSegmentationOptions(SegmentationOptions):
    """Options of `VocSegmentation`."""

    path: str = ""  # relative to the data root
    train: TrainList = "train"  # "trainaug": SBD's list, where the user has it

    def __post_init__(self) -> None:
        super().__post_init__()
        check_relative_path("path", self.path, empty=True)
        if self.train not in get_args(TrainList):
            raise DataError(f"train must be train or trainaug, got {self.train!r}")


class VocSegmentation(SegmentationData):
    """Pascal VOC 2012 segmentation.

    Args:
        options: folder, training list, sizes, augmentation.
        loader: how to read.
    """

    name = "voc_segmentation"
    summary = "Pascal VOC 2012 segmentation, 21 classes of pixels; SBD's training list by option"
    options_type: ClassVar[type] = VocSegmentationOptions
    options: VocSegmentationOptions
    colours = tuple(palette_colour(index) for index in range(len(CLASSES)))

    def __init__(self, options: VocSegmentationOptions, loader: LoaderConfig) -> None:
        super().__init__(options, loader)
        self._classes = CLASSES
        self._files: dict[Split, list[LabelledImage]] = {}
        self._readers: dict[Split, SegmentationReader] = {}

    @property
    def folder(self) -> Path:
        """Folder with VOCdevkit."""
        return self.root / self.options.path

    def _open(self) -> None:
        parts: dict[Split, list[LabelledImage]] = {
            "train": self._listed(self.options.train),
            "test": self._listed("val"),
        }
        for split, pairs in parts.items():
            check_files(pairs, IDS)
            self._files[split] = pairs
            self._readers[split] = SegmentationReader(pairs, IDS, self.options.in_memory)

    def _listed(self, part: TrainList | Literal["val"]) -> list[LabelledImage]:
        base = self.folder / "VOCdevkit" / "VOC2012"
        names, images = base / "ImageSets" / "Segmentation" / f"{part}.txt", base / "JPEGImages"
        if not names.is_file():
            problem = f"no {part} images of VOC2012 segmentation: there is no {names.name}"
            raise missing_data(problem, names.parent, LAYOUT)
        try:
            stems = _augmented(names) if part == "trainaug" else listed_names(names, images)
        except (OSError, UnicodeDecodeError) as error:
            problem = f"no {part} images of VOC2012 segmentation ({error})"
            raise missing_data(problem, self.folder, LAYOUT) from error
        if not stems:
            raise DataError(f"ImageSets/Segmentation/{part}.txt in {self.folder} names no image")
        labels = base / ("SegmentationClassAug" if part == "trainaug" else "SegmentationClass")
        return [LabelledImage(images / f"{stem}.jpg", labels / f"{stem}.png") for stem in stems]

    def _labelled(self, split: Split) -> tuple[Sequence[LabelledImage], Read]:
        return self._files[split], self._readers[split]


def _augmented(names: Path) -> list[str]:
    """Some copies of the list hold "/JPEGImages/x.jpg /SegmentationClassAug/x.png"."""
    return [Path(line.split()[0]).stem for line in read_lines(names).values()]

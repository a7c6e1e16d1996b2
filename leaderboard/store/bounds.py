"""How large an archive may become, judged from its list of files before anything of it is unpacked.

A zip file names the unpacked size of every entry, and Python's reader never gives more than that.
"""

from __future__ import annotations

import zipfile
import zlib

LARGEST_RATIO = 100  # unpacked bytes for one packed byte; records reach 10 to 20
FREE = 1_000_000  # bytes that may be packed as well as they like
LARGEST_RECORDS = 4e9  # bytes of all records and studies
LARGEST_ARCHIVE = 100e9
MOST_FILES = 500_000
LONGEST_NAME = 100  # characters of a name that an error quotes


def too_large(infos: list[zipfile.ZipInfo], packed: int, networks: str) -> str | None:
    """Why an archive must not be unpacked, or None.

    Args:
        infos: its list of files.
        packed: bytes of the archive itself, which entries cannot share as a bomb's do.
        networks: how names of trained networks begin.
    """
    if len(infos) > MOST_FILES:
        return f"holds {len(infos)} files, more than {MOST_FILES}"
    for info in infos:
        if info.file_size > max(FREE, LARGEST_RATIO * info.compress_size):
            return (
                f"holds {quoted(info.filename)}, which unpacks to {info.file_size / 1e6:.0f} MB, more than "
                f"{LARGEST_RATIO} times what it takes in the archive"
            )
    total = sum(info.file_size for info in infos)
    if total > max(FREE, LARGEST_RATIO * packed):
        return f"unpacks to {total / 1e6:.0f} MB, more than {LARGEST_RATIO} times its own size"
    plain = sum(info.file_size for info in infos if not info.filename.startswith(networks))
    if plain > LARGEST_RECORDS or total > LARGEST_ARCHIVE:
        return f"unpacks to {total / 1e9:.0f} GB, more than any results folder takes"
    return None


def packs_too_well(content: bytes) -> bool:
    """Whether the bound would refuse what compression makes of a sound file, so that it travels as it is."""
    return len(content) > LARGEST_RATIO // 2 * len(zlib.compress(content))


def quoted(said: object) -> str:
    """What an archive says, as an error quotes it: names have up to 64 kB, and a manifest any length."""
    words = repr(said)
    return words if len(words) <= LONGEST_NAME else f"{words[:LONGEST_NAME]} ..."

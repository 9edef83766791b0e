"""The samples of tar files that cellprep did not write: images, masks, labels, and the rest."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CellprepError
from ..system.paths import open_binary
from .class_folders import ClassFolders, folder_of
from .codec import SUFFIXES
from .listing import is_of_the_system, why_not_read

_MASK = ".mask.png"
_LABELS = (".cls", ".json")
_KEYS = ("label", "cls", "class", "class_name")
"""Keys under which the json of a sample may contain its label."""
_MOST_TEXT = 1 << 20


@dataclass
class Sample:
    """Members of the same key; images and masks are given by (offset, length)."""

    file: int
    key: str
    name: str = ""
    image: tuple[int, int] = (0, 0)
    mask: tuple[int, int] | None = None
    cls: str | None = None
    json: Any = None
    others: list[str] = field(default_factory=list)
    """The names of the members besides the image."""

    @property
    def short_key(self) -> str:
        """The key as webdataset has it: up to the first dot of the name."""
        folder, slash, name = self.key.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"

    @property
    def has_label(self) -> bool:
        return self.cls is not None or self.json is not None


def samples_of(number: int, path: Path, unread: dict[str, str]) -> list[Sample]:
    """The samples with an image, from one pass over the headers of a tar file.

    The key of a member is its name without the extension, so names may contain dots. Members that
    belong to no sample are added to `unread`.
    """
    found: dict[str, Sample] = {}
    left: dict[str, str] = {}
    try:
        with open_binary(path) as stream, tarfile.TarFile(fileobj=stream) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
                if not member.isdir():
                    _add_member(number, found, left, member, stream)
            stream.seek(tar.offset)
            # tarfile takes anything but a header for the end of the file
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"no end mark at byte {tar.offset:,}")
    except CellprepError as error:
        raise CellprepError(f"{str(path)!r} {error}") from None
    except (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError) as error:
        raise CellprepError(
            f"{str(path)!r} is not a tar file, or a damaged one: {error}; copy it again"
        ) from error
    samples = [*_with_images(found, left)]
    unread |= {f"{path.name}: {name}": cause for name, cause in left.items()}
    return samples


def _add_member(
    number: int,
    found: dict[str, Sample],
    left: dict[str, str],
    member: tarfile.TarInfo,
    stream: BinaryIO,
) -> None:
    """Add a member to its sample, or to what is left if it is neither image, mask nor label."""
    name = member.name.removeprefix("./")
    ends = (suffix for suffix in (_MASK, *SUFFIXES, *_LABELS) if name.lower().endswith(suffix))
    suffix = next(ends, None)
    if not member.isreg() or member.issparse():
        left[name] = "is a link or a special file"
    elif suffix is None or any(is_of_the_system(part) for part in name.split("/")):
        left[name] = why_not_read(name)
    else:
        key = name[: -len(suffix)]
        sample = found.setdefault(key, Sample(number, key))
        location = (member.offset_data, member.size)
        if suffix in SUFFIXES:
            if sample.name:
                raise CellprepError(
                    f"has two images of sample {key!r}, {sample.name!r} and {member.name!r}; give "
                    "each its own key"
                )
            sample.name, sample.image = member.name, location
            return
        sample.others.append(name)
        if suffix == _MASK:
            sample.mask = location
        else:
            _add_label(sample, member, suffix, stream)


def _add_label(sample: Sample, member: tarfile.TarInfo, suffix: str, stream: BinaryIO) -> None:
    if member.size > _MOST_TEXT:
        raise CellprepError(
            f"has {member.name!r} of {member.size:,} bytes, too many for a label; remove it"
        )
    stream.seek(member.offset_data)
    try:
        text = stream.read(member.size).decode("utf-8")
        if suffix == ".cls":
            sample.cls = text.strip()
        else:
            sample.json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CellprepError(
            f"has {member.name!r}, which is not valid {suffix[1:]}: {error}"
        ) from None


def _with_images(found: dict[str, Sample], left: dict[str, str]) -> Iterator[Sample]:
    """The samples with an image; what belongs to none is added to `left`.

    In webdataset the key ends at the first dot: `7.input.png` is the image of `7.cls`, if it is the
    only one of sample 7.
    """
    parts: dict[str, list[Sample]] = {}
    for sample in found.values():
        whole = found.get(sample.short_key)
        if sample.name and not sample.has_label and whole not in (None, sample):
            assert whole is not None
            if whole.has_label:
                parts.setdefault(whole.key, []).append(sample)
    for key, images in parts.items():
        whole = found[key]
        if not whole.name and len(images) == 1:
            whole.name, whole.image = images[0].name, images[0].image
            whole.mask = whole.mask or images[0].mask
        else:
            for image in images:
                left[image.name] = f"is one of several images of sample {key!r}"
                left |= dict.fromkeys(image.others, f"belongs to {image.name!r}")
        for image in images:
            del found[image.key]
    for sample in found.values():
        if sample.name:
            yield sample
        else:
            left |= dict.fromkeys(sample.others, "has no image")


def labels_of(
    samples: list[Sample], files: tuple[Path, ...], key: str | None
) -> tuple[list[Any], list[str] | None]:
    """The labels, from the first source with one for every sample; names of numeric labels."""
    values: dict[str, list[Any]] = {
        "json": [_of_json(sample, (key,) if key else _KEYS) for sample in samples],
        "cls": [sample.cls for sample in samples],
        "folder": _folders(samples),
    }
    order = ("json",) if key else ("cls", "json", "folder")
    found = next((values[kind] for kind in order if None not in values[kind]), None)
    if found is None:
        kind = min(order, key=lambda kind: values[kind].count(None))
        sample = samples[values[kind].index(None)]
        expected = f"{key!r} in its json" if key else "KEY.cls, label in KEY.json or class/KEY.png"
        raise CellprepError(
            f"{str(files[sample.file])!r} has no label for sample {sample.key!r}; expected "
            f"{expected}, or another entry of the json named with label="
        )
    if all(isinstance(value, str) and value.isdecimal() and len(value) < 19 for value in found):
        found = [int(value) for value in found]  # longer ones are text: no label is so large
    if not all(isinstance(value, int) and abs(value) < 2**63 for value in found):
        return [str(value) for value in found], None
    return found, _names(found, [_of_json(sample, ("class_name",)) for sample in samples])


def splits_inside(samples: Iterable[Sample]) -> list[str]:
    """The splits that the folders in the keys are named after, if there are several."""
    folders = {folder_of(sample.key) for sample in samples}
    layout = ClassFolders.of("/".join((*folder, "")) for folder in folders)
    found = {str(layout.split_of(folder)) for folder in folders if layout.level is not None}
    return sorted(found) if len(found) > 1 else []


def _folders(samples: list[Sample]) -> list[str | None]:
    """The folder that each image is in; not one that is named after a split."""
    layout = ClassFolders.of(sample.key for sample in samples)
    if layout.level is not None:
        return [layout.class_of(folder_of(sample.key)) for sample in samples]
    return [sample.key.rpartition("/")[0].rpartition("/")[2] or None for sample in samples]


def _names(labels: list[int], name_of_each: list[Any]) -> list[str] | None:
    """The names of numeric labels, if each label has its own name."""
    names = dict(zip(labels, name_of_each, strict=True))
    pairs = {*zip(labels, name_of_each, strict=True)}
    if not (len(pairs) == len(names) == len({*names.values()}) and min(names) >= 0):
        return None
    if max(names) > len(labels) or not all(isinstance(name, str) for name in names.values()):
        return None
    return [names.get(number, str(number)) for number in range(max(names) + 1)]


def _of_json(sample: Sample, keys: tuple[str, ...]) -> Any:
    """The first of these entries that is a number or text."""
    entries = sample.json if isinstance(sample.json, dict) else {"label": sample.json}
    found = (entries.get(key) for key in keys)
    return next((value for value in found if isinstance(value, int | str)), None)

"""The split and the class of each image of a folder, from the names of the folders it is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .splits import OTHER, splits_of_folders

Folder = tuple[str, ...]
"""The names of the folders that an image is in, outermost first."""


@dataclass(frozen=True)
class ClassFolders:
    """Which folders are splits, and which are classes.

    Attributes
    ----------
    level : int, optional
        How deep the folders named after splits are; None if there are none.
    splits : mapping of str to str
        The split of each folder of that level.
    classes_below : bool
        Whether the classes are the folders below the splits, not those above.
    """

    level: int | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    classes_below: bool = False

    @classmethod
    def of(cls, files: Iterable[str]) -> ClassFolders:
        """The arrangement of these image files."""
        folders = {folder_of(file) for file in files}
        for level in range(max(map(len, folders), default=0)):
            deep = [folder for folder in folders if len(folder) > level]
            if level and len(deep) < len(folders):
                break  # some images are above
            names = {folder[level] for folder in deep}
            direct = {folder[level] for folder in deep if len(folder) == level + 1}
            found = splits_of_folders(names, names - direct)
            if found is not None and (level == 0 or OTHER not in found.values()):
                one_above = len({folder[:level] for folder in deep}) == 1
                return cls(level, found, one_above and (not level or not direct))
        return cls()

    def split_of(self, folder: Folder) -> str | None:
        """The split of the images in a folder; None if there are no splits."""
        if self.level is None:
            return None
        return self.splits[folder[self.level]] if len(folder) > self.level else OTHER

    def class_of(self, folder: Folder) -> str | None:
        """The class of the images in a folder; None if they are in no class folder."""
        if self.level is None or self.split_of(folder) == OTHER:
            return folder[0] if folder else None
        level = self.level + 1 if self.classes_below else 0
        return folder[level] if len(folder) > level else None


def folder_of(file: str) -> Folder:
    """
    >>> folder_of("TRAIN/basophil/1.png")
    ('TRAIN', 'basophil')
    """
    return tuple(file.split("/")[:-1])

"""Small inputs, and a check that a command refuses them in one line and changes nothing."""

from __future__ import annotations

import io
import os
import re

import numpy as np
from click.testing import CliRunner
from PIL import Image

from cellprep.cli import main

LABELS = np.arange(8) % 2


def noise(n=8, side=16, channels=3, seed=0):
    """Random images, all different, (n, side, side, channels)."""
    shape = (n, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


IMAGES = noise()


def snapshot(folder):
    """Every path below a folder, with its bytes or link target."""
    return {
        path.relative_to(folder): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def refused(root, *arguments, message):
    """Run a command that must change nothing below `root`, and give the reason in one line."""
    before = snapshot(root)
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", result.stderr), result.stderr
    assert message in result.stderr
    assert snapshot(root) == before


def save_npz(path, **arrays):
    np.savez(path, **{"images": IMAGES, "labels": LABELS, **arrays})
    return path


def every_command(root, data, recipe, message):
    for command in (
        ("inspect", data),
        ("inspect", data, "--json"),
        ("convert", data, root / "out"),
        ("run", recipe, data, root / "out.npz"),
        ("split", data, root / "out"),
        ("demo", "--data", data, "--out", root / "out"),
    ):
        refused(root, *command, message=message)


def class_folders(root, n=3, side=16):
    """A folder with n PNG files in each of the classes a and b."""
    for number, image in enumerate(noise(2 * n, side)):
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()

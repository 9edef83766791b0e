"""Run commands, make small images and list files, for the tests of both programs."""

from __future__ import annotations

import json

import numpy as np
from click.testing import CliRunner

import cellmodels.cli
import cellprep.cli

PROGRAMS = {"cellprep": cellprep.cli.main, "cellmodels": cellmodels.cli.main}


def run(*arguments, code=0, program="cellprep"):
    """Run a command that must exit with `code`; its output, parsed if JSON was requested."""
    line = [str(argument) for argument in arguments]
    result = CliRunner().invoke(PROGRAMS[program], line, prog_name=program)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "--json" in line else result.output


def noise(n, *side, seed=0):
    shape = (n, *(side or (16, 16)), 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def contents(folder):
    """Every file of a written data set and its bytes."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def everything(folder):
    """Every path below a folder, with the bytes and the modification time of each file."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
        for path in folder.rglob("*")
    }


def size(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

"""Columns of Parquet files with images: which ones to read, and the schema that is written.

Both follow the conventions of the Hugging Face `datasets` library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CellprepError, nearest
from ..plan.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """The description of each column by `datasets`, if it wrote the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return {name: kind for name, kind in features.items() if isinstance(kind, dict)}


def is_image(kind: pa.DataType) -> bool:
    """Whether a column of this type may contain encoded images."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        number = kind.get_field_index("bytes")
        return number >= 0 and is_image(kind.field(number).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def image_column(
    schema: pa.Schema, features: Mapping[str, Any], requested: str | None, path: Path | str
) -> str:
    """The column of images: the requested one, the described one, or one with a usual name."""
    images = [field.name for field in schema if is_image(field.type)]
    if requested is not None:
        if requested not in images:
            raise CellprepError(
                f"{str(path)!r} has no column of images {requested!r}; {nearest(requested, images)}"
            )
        return requested
    described = [name for name in images if features.get(name, {}).get("_type") == "Image"]
    for candidates in (described, images):
        some = [name for name in candidates if name != "mask"]
        for name in ("image", "img", *(some if len(some) == 1 else ())):
            if name in some:
                return str(name)
    which = f"columns {', '.join(images)} contain images" if images else "no column contains images"
    raise CellprepError(
        f"in {str(path)!r} {which}: PNG or JPEG bytes, alone or as struct(bytes, path); name one "
        "with image="
    )


def mask_column(schema: pa.Schema) -> str | None:
    """The column of masks, if there is one."""
    return "mask" if "mask" in schema.names and is_image(schema.field("mask").type) else None


def label_column(
    schema: pa.Schema, features: Mapping[str, Any], requested: str | None, path: Path | str
) -> str:
    """The column of labels: the requested one, the described one, or one with a usual name."""
    if requested is not None:
        if requested not in schema.names:
            raise CellprepError(
                f"{str(path)!r} has no column {requested!r}; {nearest(requested, schema.names)}"
            )
        return requested
    described = [n for n in schema.names if features.get(n, {}).get("_type") == "ClassLabel"]
    found = (
        described if len(described) == 1 else [n for n in ("label", "labels") if n in schema.names]
    )
    if not found:
        raise CellprepError(
            f"{str(path)!r} has no column 'label'; name one of {', '.join(schema.names)} with "
            "label="
        )
    return str(found[0])


def bytes_column(schema: pa.Schema, name: str) -> str:
    """The column of the file with the bytes of the images."""
    import pyarrow as pa

    return f"{name}.bytes" if pa.types.is_struct(schema.field(name).type) else name


def schema_of(rows: Rows, class_names: Sequence[str], *, masks: bool = False) -> pa.Schema:
    """The columns, with their description for `datasets`."""
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields: list[tuple[str, Any, Any]] = [("image", image, {"_type": "Image"})]
    fields.append(("label", pa.int64(), {"names": list(class_names), "_type": "ClassLabel"}))
    for name, column in (("id", rows.ids), ("copy", rows.copies), ("group", rows.groups)):
        if column is not None:
            whole = column.dtype.kind == "i"
            feature = {"dtype": "int64" if whole else "string", "_type": "Value"}
            fields.append((name, pa.int64() if whole else pa.string(), feature))
    if masks:
        fields.append(("mask", image, {"_type": "Image"}))
    features = {name: feature for name, _, feature in fields}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(name, kind) for name, kind, _ in fields], metadata)

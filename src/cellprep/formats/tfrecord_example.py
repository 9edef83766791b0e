"""The records of TFRecord files and the message `tf.train.Example`, without TensorFlow."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..errors import require

FRAME = 16
"""Bytes of a record besides its Example: length, its checksum, and the Example's checksum."""


@cache
def example_type() -> Any:
    """The message `tf.train.Example`, in its own pool, so that TensorFlow can define it too."""
    require("google.protobuf", "cellprep[tfrecord]")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="cellprep/example.proto", package="tensorflow", syntax="proto3"
    )

    def message(name: str, *fields: tuple[str, int, bool], inside: Any = file.message_type) -> Any:
        made = inside.add(name=name)
        for number, (field, kind, many) in enumerate(fields, 1):
            label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label)
        return made

    def refer(made: Any, *types: str) -> None:
        for field, name in zip(made.field, types, strict=True):
            field.type_name = f".tensorflow.{name}"

    for name, kind in (
        ("BytesList", kinds.TYPE_BYTES),
        ("FloatList", kinds.TYPE_FLOAT),
        ("Int64List", kinds.TYPE_INT64),
    ):
        message(name, ("value", kind, True))
    lists = [(name, kinds.TYPE_MESSAGE, False) for name in ("bytes_list", "float_list")]
    feature = message("Feature", *lists, ("int64_list", kinds.TYPE_MESSAGE, False))
    refer(feature, "BytesList", "FloatList", "Int64List")
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", kinds.TYPE_MESSAGE, True))
    refer(features, "Features.FeatureEntry")
    entry = message(
        "FeatureEntry",
        ("key", kinds.TYPE_STRING, False),
        ("value", kinds.TYPE_MESSAGE, False),
        inside=features.nested_type,
    )
    entry.field[1].type_name = ".tensorflow.Feature"
    entry.options.map_entry = True
    refer(message("Example", ("features", kinds.TYPE_MESSAGE, False)), "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def checksum(data: bytes) -> bytes:
    """The masked CRC-32C of TFRecord files."""
    crc = require("google_crc32c", "cellprep[tfrecord]").value(data)
    return int(((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32).to_bytes(4, "little")


def framed(data: bytes) -> bytes:
    """An Example as a record."""
    length = len(data).to_bytes(8, "little")
    return b"".join((length, checksum(length), data, checksum(data)))


def value_of(example: Any, name: str) -> Any:
    """The value of a feature: a list if it has several, None if it has none."""
    if name not in example.features.feature:
        return None
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value) if kind else []
    return values[0] if len(values) == 1 else values or None

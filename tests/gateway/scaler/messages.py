"""The messages of KEDA's external scaler by protobuf itself: the oracle of what we read and write by hand."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TEXT, _NUMBER, _BOOL, _DOUBLE, _MESSAGE = 9, 3, 8, 1, 11
_FIELDS: dict[str, list[tuple[str, int, int, bool, str]]] = {
    "ScaledObjectRef": [
        ("name", 1, _TEXT, False, ""),
        ("namespace", 2, _TEXT, False, ""),
        ("scalerMetadata", 3, _MESSAGE, True, "Entry"),
    ],
    "Entry": [("key", 1, _TEXT, False, ""), ("value", 2, _TEXT, False, "")],  # a map is a list of these on the wire
    "IsActiveResponse": [("result", 1, _BOOL, False, "")],
    "GetMetricSpecResponse": [("metricSpecs", 1, _MESSAGE, True, "MetricSpec")],
    "MetricSpec": [
        ("metricName", 1, _TEXT, False, ""),
        ("targetSize", 2, _NUMBER, False, ""),
        ("targetSizeFloat", 3, _DOUBLE, False, ""),
    ],
    "GetMetricsRequest": [
        ("scaledObjectRef", 1, _MESSAGE, False, "ScaledObjectRef"),
        ("metricName", 2, _TEXT, False, ""),
    ],
    "GetMetricsResponse": [("metricValues", 1, _MESSAGE, True, "MetricValue")],
    "MetricValue": [
        ("metricName", 1, _TEXT, False, ""),
        ("metricValue", 2, _NUMBER, False, ""),
        ("metricValueFloat", 3, _DOUBLE, False, ""),
    ],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="oracle.proto", package="oracle", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for at, number, kind, repeated, of in fields:
            field = message.field.add(name=at, number=number, type=kind, label=3 if repeated else 1)
            if of:
                field.type_name = f".oracle.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"oracle.{name}")) for name in _FIELDS}


MESSAGES = _classes()


def ref(name: str = "llama", namespace: str = "default", **metadata: str) -> Any:
    """A ScaledObjectRef."""
    entries = [MESSAGES["Entry"](key=key, value=value) for key, value in metadata.items()]
    return MESSAGES["ScaledObjectRef"](name=name, namespace=namespace, scalerMetadata=entries)

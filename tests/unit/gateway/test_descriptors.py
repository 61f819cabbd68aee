"""Questions to protobuf's descriptors."""

from __future__ import annotations

from batchwire import v1
from batchwire_server.gateway.transcoding.descriptors import enum_names, fields_of, map_value


def test_enum_names_are_lower_case_without_prefix_and_unspecified() -> None:
    assert dict(enum_names(v1.ListOrder.DESCRIPTOR)) == {1: "asc", 2: "desc"}


def test_fields_of_a_message_and_of_its_type_are_the_same() -> None:
    assert fields_of(v1.Batch()) == fields_of(v1.Batch.DESCRIPTOR)
    assert fields_of(v1.Batch())["id"].name == "id"


def test_only_maps_have_a_map_value() -> None:
    fields = fields_of(v1.Batch())
    metadata = map_value(fields["metadata"])
    assert metadata is not None
    assert metadata.cpp_type == metadata.CPPTYPE_STRING
    assert map_value(fields["id"]) is None
    assert map_value(fields["request_counts"]) is None

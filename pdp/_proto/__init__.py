"""Generated code of the protobuf contract; see scripts/generate_protos.py."""

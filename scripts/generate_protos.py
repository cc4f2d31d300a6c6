"""Generates the Rust and Python code of the protobuf contract, which is committed."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grpc_tools
from grpc_tools import protoc

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY = Path(__file__).resolve().parent.parent
PROTOS = ("pdp/v1/decision.proto", "pdp/v1/admin.proto")
# Contracts of others; see scripts/vendor_protos.py. Python needs none of their code.
VENDOR = REPOSITORY / "protos" / "vendor"
RUST_OUT = Path("rust/pdp-proto/src/generated")
PYTHON_OUT = Path("pdp/_proto")

# The import path of the generated modules would be `pdp.v1`, inside the
# product's own package; they live in a private one instead.
IMPORT = re.compile(r"^(from|import) pdp\.v1(?=[ .])", re.MULTILINE)
PRELUDE = '"""Generated code of the protobuf contract; see scripts/generate_protos.py."""\n'


def run_protoc(*arguments: str, folder: Path = REPOSITORY / "protos", files: Iterable[str] = PROTOS) -> None:
    """Runs the bundled protoc over contracts in `folder`, or exits with its code."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{folder}", f"-I{well_known}", *arguments, *files])
    if code != 0:
        sys.exit(code)


def generate_python(out: Path, scratch: Path) -> None:
    """Writes message modules, type stubs and service stubs into `out`."""
    run_protoc(f"--python_out={scratch}", f"--pyi_out={scratch}", f"--grpc_python_out={scratch}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "__init__.py").write_text(PRELUDE, encoding="utf-8")
    for path in sorted((scratch / "pdp" / "v1").iterdir()):
        text = path.read_text(encoding="utf-8")
        (out / path.name).write_text(IMPORT.sub(r"\1 pdp._proto", text), encoding="utf-8")


def generate_rust(out: Path, scratch: Path) -> None:
    """Writes the Rust modules and the descriptor sets that reflection serves into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    documented = scratch / "documented.bin"
    run_protoc(f"--descriptor_set_out={documented}", "--include_imports", "--include_source_info")
    run_protoc(f"--descriptor_set_out={out / 'descriptor_set.bin'}", "--include_imports")
    roots = json.loads((VENDOR / "lock.json").read_text(encoding="utf-8"))["roots"]
    vendored = out / "envoy_descriptor_set.bin"
    run_protoc(f"--descriptor_set_out={vendored}", "--include_imports", folder=VENDOR, files=roots)
    generator = ["cargo", "run", "--quiet", "--locked", "-p", "pdp-proto", "--example", "generate", "--"]
    subprocess.run([*generator, str(documented), str(vendored), str(out)], cwd=REPOSITORY, check=True)


def main() -> None:
    """Generates into the repository, or into another directory of the same layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root", type=Path, default=REPOSITORY, help="where to write (default: the repository)"
    )
    root = parser.parse_args().root.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        generate_python(root / PYTHON_OUT, Path(scratch))
        generate_rust(root / RUST_OUT, Path(scratch))


if __name__ == "__main__":
    main()

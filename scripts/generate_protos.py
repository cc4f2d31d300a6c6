"""Generates the Rust and Python code of the protobuf contract, which is committed."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

REPOSITORY = Path(__file__).resolve().parent.parent
PROTOS = ("pdp/v1/decision.proto", "pdp/v1/admin.proto")
RUST_OUT = Path("rust/pdp-proto/src/generated")
PYTHON_OUT = Path("pdp/_proto")

# The import path of the generated modules would be `pdp.v1`, inside the
# product's own package; they live in a private one instead.
IMPORT = re.compile(r"^(from|import) pdp\.v1(?=[ .])", re.MULTILINE)
PRELUDE = '"""Generated code of the protobuf contract; see scripts/generate_protos.py."""\n'


def run_protoc(*arguments: str) -> None:
    """Runs the bundled protoc over the contract, or exits with its code."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    includes = [f"-I{REPOSITORY / 'protos'}", f"-I{well_known}"]
    code = protoc.main(["protoc", *includes, *arguments, *PROTOS])
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
    """Writes the Rust module and the descriptor set that reflection serves into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    documented = scratch / "documented.bin"
    run_protoc(f"--descriptor_set_out={documented}", "--include_imports", "--include_source_info")
    run_protoc(f"--descriptor_set_out={out / 'descriptor_set.bin'}", "--include_imports")
    generator = ["cargo", "run", "--quiet", "--locked", "-p", "pdp-proto", "--example", "generate", "--"]
    subprocess.run([*generator, str(documented), str(out)], cwd=REPOSITORY, check=True)


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

"""The committed code of the protobuf contract is what the contract generates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GENERATED = (Path("rust/pdp-proto/src/generated"), Path("pdp/_proto"))


def files(root: Path) -> dict[str, bytes]:
    """Contents of the generated files under `root`, by relative path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for directory in GENERATED
        for path in sorted((root / directory).iterdir())
        if path.is_file()
    }


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files generated just now."""
    root = tmp_path_factory.mktemp("generated")
    script = REPOSITORY / "scripts" / "generate_protos.py"
    subprocess.run([sys.executable, str(script), "--root", str(root)], check=True)
    return files(root)


def test_committed_files_are_those_the_contract_generates(fresh: dict[str, bytes]) -> None:
    """No generated file is missing and none is left over."""
    assert sorted(files(REPOSITORY)) == sorted(fresh)


def test_committed_code_equals_generated_code(fresh: dict[str, bytes]) -> None:
    """Each generated file is committed as generated."""
    committed = files(REPOSITORY)
    assert [path for path, content in fresh.items() if committed.get(path) != content] == []

"""The package as a whole: its version, its docstrings' examples, its sample estate."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import pkgutil

import pytest

import pdp
from pdp.engine import sample_policies, sample_questions
from pdp.model import Question, request_from_mapping

MODULES = sorted(
    one.name
    for one in pkgutil.walk_packages(pdp.__path__, "pdp.")
    if "._proto" not in one.name and not one.name.endswith("__main__")
)


def test_versions_agree() -> None:
    """The installed distribution is the one that is imported."""
    assert importlib.metadata.version("pdp") == pdp.__version__


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    """An example that does not run misleads; every module has a docstring that opens it."""
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
    if name != "pdp._core":
        assert module.__doc__


def test_sample_estate_comes_with_the_package() -> None:
    """Whoever installs the wheel can start at once."""
    assert (sample_policies() / "manifest.yaml").is_file()
    assert set(sample_questions()) == set(Question)


@pytest.mark.parametrize("question", Question)
def test_sample_questions_are_requests(question: Question) -> None:
    """Each document has the documented form."""
    request_from_mapping({**sample_questions()[question], "questions": [question.value]})

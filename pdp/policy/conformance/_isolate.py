"""Asks the core in another process, so that a case that kills it is a result."""

from __future__ import annotations

import json
import multiprocessing
import os
from typing import TYPE_CHECKING, Any

from pdp.errors import PdpError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

# A case that takes longer hangs.
_SECONDS = 60.0

Question = tuple[str, dict[str, Any]]


def answers(questions: Sequence[Question]) -> Iterator[dict[str, Any]]:
    """The core's answer to each `(engine, document)`, in order; `{"crash": reason}` where it died.

    Raises:
        PdpError: When the core could not be asked at all.
    """
    context = multiprocessing.get_context("spawn")
    done = 0
    while done < len(questions):
        ours, theirs = context.Pipe()
        worker = context.Process(target=_serve, args=(theirs, questions[done:]), daemon=True)
        worker.start()
        theirs.close()
        try:
            while done < len(questions):
                if not ours.poll(_SECONDS):
                    worker.kill()
                    yield {"crash": f"no answer in {_SECONDS:.0f} s"}
                    done += 1
                    break
                answer = ours.recv()
                if "fault" in answer:
                    raise PdpError(answer["fault"])
                yield answer
                done += 1
        except EOFError:
            worker.join()
            yield {"crash": f"exit code {worker.exitcode}"}
            done += 1
        finally:
            ours.close()
            worker.join()


def _serve(answers_to: Connection, questions: Sequence[Question]) -> None:
    # Engines that panic say so on standard error; the panic itself is caught and is an answer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for engine, document in questions:
        try:
            answer = _rego(document) if engine == "rego" else _cel(document)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the parent raises it
            answer = {"fault": f"{type(fault).__name__}: {fault}"}
        answers_to.send(answer)
    answers_to.close()


def _rego(document: dict[str, Any]) -> dict[str, Any]:
    from pdp import _core  # noqa: PLC0415 - loaded in the worker only

    document = dict(document)
    term = document.pop("input_term", None)
    if term is not None:
        parsed = _input(term)
        if "input" not in parsed:
            return parsed
        document |= parsed
    return _loads(_core.rego_query(json.dumps(document)))


def _input(term: str) -> dict[str, Any]:
    """An input that is spelt as a Rego term, as JSON."""
    from pdp import _core  # noqa: PLC0415 - loaded in the worker only

    query = f"value := {term}; sets := [1 | walk(value, [_, part]); is_set(part)]"
    answer = _loads(_core.rego_query(json.dumps({"modules": [], "query": query, "checks": False})))
    if not answer.get("bindings"):
        return answer
    found = answer["bindings"][0]
    return (
        {"unposed": "its input holds a set, which JSON cannot"}
        if found["sets"]
        else {"input": found["value"]}
    )


def _cel(document: dict[str, Any]) -> dict[str, Any]:
    from pdp import _core  # noqa: PLC0415 - loaded in the worker only

    return _loads(_core.cel_expression(json.dumps(document)))


def _loads(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found

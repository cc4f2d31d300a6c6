"""Both clients say how much their calls matter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pdp.client import AsyncClient, Client, ClientOptions, Priority
from pdp.model import CheckRequest, Question

ASK = CheckRequest(questions=(Question.ACCESS,))
SENT = [(Priority.CRITICAL, "critical"), (Priority.DEFAULT, None), (Priority.SHEDDABLE, "sheddable")]


@pytest.mark.parametrize(("priority", "sent"), SENT)
def test_priority_goes_with_every_call(script: Any, priority: Priority, sent: str | None) -> None:
    """What the server takes for the default is not sent."""
    with Client(script.target, ClientOptions(timeout_seconds=5.0, priority=priority)) as client:
        client.check(ASK)
        client.check_batch([ASK])
        list(client.stream([ASK]))
    assert script.priorities == [sent] * 3


@pytest.mark.parametrize(("priority", "sent"), SENT)
def test_priority_goes_with_every_asynchronous_call(
    script: Any, priority: Priority, sent: str | None
) -> None:
    """As by the blocking client."""

    async def ask() -> None:
        options = ClientOptions(timeout_seconds=5.0, priority=priority)
        async with AsyncClient(script.target, options) as client:
            await client.check(ASK)
            await client.check_batch([ASK])
            async for _ in client.stream([ASK]):
                pass

    asyncio.run(ask())
    assert script.priorities == [sent] * 3

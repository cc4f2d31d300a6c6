"""Facts straight in Redis: the core's scripts and names under the Python client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import fakeredis
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from pdp import _core
from pdp.control import Fact, FactKind, FactName, FactPut, RedisFacts
from pdp.control._redis import _change
from pdp.errors import ConfigError, ErrorReason, RequestError, ServerError, UnavailableError

SECRET = b"0123456789abcdef"
SEEN = datetime(2026, 1, 31, 12, 0, 0, 250, tzinfo=UTC)


def name(id: str = "laptop", tenant: str = "shop") -> FactName:  # noqa: A002 - the contract's word
    """A device's name."""
    return FactName(FactKind.DEVICE, id, tenant)


def put(id: str = "laptop", **more: Any) -> FactPut:  # noqa: A002 - the contract's word
    """A document to store."""
    return FactPut(**{"name": name(id), "value": {"n": 1}, "source": "mdm", "observed_at": SEEN, **more})


@pytest.fixture
def client() -> fakeredis.FakeRedis:
    """A server of its own."""
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


@pytest.fixture
def facts(client: fakeredis.FakeRedis) -> Iterator[RedisFacts]:
    """Facts on that server."""
    with RedisFacts(client, key_secret=SECRET) as facts:
        yield facts


def refusal(facts: RedisFacts, *puts: FactPut, ttl: timedelta | None = None) -> RequestError:
    """Why nothing was stored."""
    with pytest.raises(RequestError) as caught:
        facts.put(puts, ttl)
    return caught.value


def test_a_document_comes_back_as_it_was_stored(facts: RedisFacts) -> None:
    """Value, version, source and time, under names of any letters."""
    value = {'a"b': [1, 2.5, None, {"c": "{}\n"}], "é\U0001f600": "\U0001f600", "n": 2**53}
    for one in (name(), name('x{}\n"é', 't{}\n"'), FactName(FactKind.SUBJECT, "k" * 256)):
        stored = replace(put(), name=one, value=value, source='s/"\n')
        assert facts.put([stored]) == (1,)
        assert facts.get([one]) == (Fact(one, value, 1, 's/"\n', SEEN),)


def test_a_batch_is_stored_whole_or_not_at_all(facts: RedisFacts) -> None:
    """One old version refuses all, and is named with the stored one."""
    assert facts.put([put("a", version=5), put("b")]) == (5, 1)
    fault = refusal(facts, put("c"), put("a", version=5))
    assert (fault.reason, fault.field) == (ErrorReason.FIELD_OUT_OF_RANGE, "facts[1].version")
    assert "stored version 5" in fault.message
    assert facts.get([name("c")]) == ()
    assert facts.put([put("a")]) == (6,)


def test_a_deleted_document_does_not_come_back_in_an_older_version(
    facts: RedisFacts, client: fakeredis.FakeRedis
) -> None:
    """The version stays for a while."""
    facts.put([put(version=5)])
    assert facts.delete([name(), name("none")]) == 1
    assert facts.delete([name()]) == 0
    assert facts.get([name()]) == ()
    assert "stored version 5" in refusal(facts, put(version=5)).message
    (key,) = client.keys("*")
    assert 0 < client.pttl(key) <= 600_000
    assert facts.put([put(version=6)]) == (6,)
    assert client.pttl(key) == -1


def test_a_document_expires(facts: RedisFacts, client: fakeredis.FakeRedis) -> None:
    """And one stored again without a time to live does not."""
    facts.put([put()], timedelta(minutes=15))
    (key,) = client.keys("*")
    assert 0 < client.pttl(key) <= 900_000
    facts.put([put()])
    assert client.pttl(key) == -1


def test_keys_are_those_of_the_core_and_carry_no_names(
    facts: RedisFacts, client: fakeredis.FakeRedis
) -> None:
    """Decision points find what is stored here."""
    facts.put([put("laptop-of-alice")])
    (key,) = client.keys("*")
    assert key.decode() == _core.fact_key(SECRET, "shop", "device", "laptop-of-alice")
    assert key.startswith(b"pdp:1:{")
    assert b"alice" not in key
    assert b"shop" not in key
    assert _core.fact_key(SECRET, "", "device", "a") != _core.fact_key(SECRET, "a", "device", "")


def test_without_a_secret_the_salt_is_agreed_on_in_the_store(client: fakeredis.FakeRedis) -> None:
    """The first one stays, and every other one takes it."""
    facts = [RedisFacts(client), RedisFacts(client)]
    facts[0].put([put()])
    assert len(facts[1].get([name()])) == 1
    salt = client.get("pdp:1:salt")
    assert client.exists(_core.fact_key(salt, "shop", "device", "laptop")) == 1


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"name": name("")}, "facts[1].name.id"),
        ({"name": name("é" * 129)}, "facts[1].name.id"),
        ({"name": name("b", "t" * 257)}, "facts[1].name.tenant"),
        ({"name": name("b", "other")}, "facts[1].name.tenant"),
        ({"name": name("a")}, "facts[1].name"),
        ({"name": name("\ud800")}, "facts[1].name"),
        ({"version": 0}, "facts[1].version"),
        ({"version": 2**53}, "facts[1].version"),
        ({"source": ""}, "facts[1].source"),
        ({"value": {"x": "y" * 65_536}}, "facts[1].value"),
        ({"value": {"x": float("nan")}}, "facts[1].value"),
        ({"value": {"x": object()}}, "facts[1].value"),
    ],
)
def test_bad_documents_are_refused_by_path_and_nothing_is_stored(
    facts: RedisFacts, client: fakeredis.FakeRedis, bad: dict[str, Any], field: str
) -> None:
    """Before anything is sent."""
    assert refusal(facts, put("a"), replace(put("b"), **bad)).field == field
    assert client.keys("*") == []


def test_lists_and_times_out_of_bounds_are_refused(facts: RedisFacts) -> None:
    """Named as in the contract."""
    assert refusal(facts).field == "facts"
    assert refusal(facts, *(put(str(number)) for number in range(1_001))).field == "facts"
    assert refusal(facts, put(), ttl=timedelta(days=367)).field == "ttl"
    assert refusal(facts, put(), ttl=timedelta(milliseconds=999)).field == "ttl"
    with pytest.raises(RequestError, match="names"):
        facts.get([])


def test_a_foreign_document_is_an_error_and_not_an_answer(
    facts: RedisFacts, client: fakeredis.FakeRedis
) -> None:
    """Neither absent nor another's."""
    facts.put([put()])
    (key,) = client.keys("*")
    for document in (
        "{}",
        "[]",
        "\0",
        json.dumps({"kind": "device", "id": "b", "tenant": None, "value": {}}),
    ):
        client.hset(key, "d", document)
        with pytest.raises(ServerError):
            facts.get([name()])


def test_each_change_is_published_in_order(facts: RedisFacts, client: fakeredis.FakeRedis) -> None:
    """Also a deletion, which has no document."""
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe("pdp:1:facts")
    subscription.get_message(timeout=1)
    facts.put([put(version=3)])
    facts.delete([name()])
    heard = [_change(subscription.get_message(timeout=1)["data"]) for _ in range(2)]
    subscription.close()
    assert heard[0].fact == Fact(name(), {"n": 1}, 3, "mdm", SEEN)
    assert (heard[1].name, heard[1].version, heard[1].fact) == (name(), 3, None)


def test_a_store_that_does_not_answer_is_unavailable_and_no_password_is_shown() -> None:
    """Nobody listens on port 1."""
    facts = RedisFacts.from_url("redis://app:opensesame@127.0.0.1:1/0", key_secret=SECRET)
    with facts, pytest.raises(UnavailableError) as caught:
        facts.get([name()])
    assert "opensesame" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:6379", "http://host", "redis://host:port", "redis+cluster://a:x"]
)
def test_what_is_no_url_is_refused_without_being_repeated(url: str) -> None:
    """A URL may hold a password."""
    with pytest.raises(ConfigError) as caught:
        RedisFacts.from_url(url)
    assert not url or url not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(max_size=6), JSON, max_size=4), id=st.text(min_size=1, max_size=16))
def test_any_value_under_any_name_comes_back(value: dict[str, Any], id: str) -> None:  # noqa: A002
    """What JSON can hold, unless the name is no Unicode text."""
    client: redis.Redis = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    with RedisFacts(client, key_secret=SECRET) as facts:
        stored = replace(put(), name=name(id), value=value)
        facts.put([stored])
        assert facts.get([name(id)])[0].value == value

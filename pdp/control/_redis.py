"""Facts straight in Redis or Valkey, past every decision point.

Names, scripts and bounds are the core's own, so that decision points find what is stored here.
"""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

import redis
from redis.cluster import ClusterNode, RedisCluster

from pdp import _core
from pdp.errors import (
    ConfigError,
    ErrorReason,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    UnavailableError,
)
from pdp.model import Fact, FactChange, FactKind, FactName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pdp.model import FactPut

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TTL: Final = (timedelta(seconds=1), timedelta(days=366))
_FIELDS: Final = ("v", "d", "s", "o")


@dataclass(frozen=True, slots=True)
class _Layout:
    """How facts lie in the store; the core's own constants."""

    put: str
    delete: str
    channel: str
    salt: str
    tombstone_ms: int
    max_batch: int
    max_id_bytes: int
    max_value_bytes: int
    max_version: int


_LAYOUT: Final = _Layout(**json.loads(_core.fact_layout()))


class RedisFacts:
    """Facts in a Redis or Valkey that decision points share."""

    def __init__(self, client: Any, *, key_secret: bytes | None = None) -> None:
        """Uses `client`, which must not decode responses.

        Args:
            client: A `redis.Redis` or `redis.cluster.RedisCluster`.
            key_secret: What key names are hashed with, as decision points are configured; None takes
                what they have agreed on in the store.
        """
        self._client = client
        self._secret = key_secret

    @classmethod
    def from_url(
        cls, url: str, *, key_secret: bytes | None = None, timeout_seconds: float = 5.0
    ) -> RedisFacts:
        """Connects when it is first used.

        Args:
            url: `redis://`, `rediss://`, or with `+cluster` after the scheme for a Cluster.
            key_secret: As of the constructor.
            timeout_seconds: Deadline of one call; watching has none.

        Raises:
            ConfigError: When the URL is none; the message holds no part of it.
        """
        options: dict[str, Any] = {
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": timeout_seconds,
        }
        scheme, _, rest = url.partition("://")
        try:
            if scheme.endswith("+cluster"):
                return cls(_cluster(scheme.removesuffix("+cluster"), rest, options), key_secret=key_secret)
            return cls(redis.Redis.from_url(url, **options), key_secret=key_secret)
        except ValueError:
            message = "is no URL of a store; write `redis://[user:password@]host[:port][/db]`"
            raise ConfigError("redis_url", message) from None

    def __enter__(self) -> Self:
        """The same."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def put(self, puts: Sequence[FactPut], ttl: timedelta | None = None) -> tuple[int, ...]:
        """Stores all documents, of one tenant, or none; the version of each.

        Raises:
            RequestError: When nothing was stored; `field` names the document at fault.
        """
        if ttl is not None and not _TTL[0] <= ttl <= _TTL[1]:
            raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, "ttl", "must be 1 s to 366 days, or unset")
        _check_names([one.name for one in puts], "facts", ".name", same_tenant=True)
        arguments: list[str | int] = [_LAYOUT.channel]
        for at, one in enumerate(puts):
            arguments += _arguments(at, one, ttl)
        with _faults():
            keys = [self._key(one.name) for one in puts]
            answer = self._client.eval(_LAYOUT.put, len(keys), *keys, *arguments)
        outcome, *numbers = (part.decode() for part in answer)
        if outcome == "ok":
            return tuple(map(int, numbers))
        position, given, stored = numbers
        message = (
            f"version {given} is not above the stored version {stored}: read the document again, or leave "
        )
        message += "the version out"
        raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, f"facts[{position}].version", message)

    def get(self, names: Sequence[FactName]) -> tuple[Fact, ...]:
        """Those of the documents that exist, in the order of `names`.

        Raises:
            RequestError: When a name is no name, or the store does not answer.
        """
        _check_names(names, "names", "")
        with _faults():
            pipeline = self._client.pipeline(transaction=False)
            for name in names:
                pipeline.hmget(self._key(name), _FIELDS)
            rows = pipeline.execute()
        found = (_read(name, *row) for name, row in zip(names, rows, strict=True))
        return tuple(one for one in found if one is not None)

    def delete(self, names: Sequence[FactName]) -> int:
        """Deletes documents of one tenant; how many there were.

        Raises:
            RequestError: When a name is no name, or the store does not answer.
        """
        _check_names(names, "names", "", same_tenant=True)
        with _faults():
            keys = [self._key(name) for name in names]
            bodies = [json.dumps(_name(name), ensure_ascii=False) for name in names]
            arguments = (_LAYOUT.channel, _LAYOUT.tombstone_ms, *bodies)
            return int(self._client.eval(_LAYOUT.delete, len(keys), *keys, *arguments))

    def watch(self) -> Iterator[FactChange]:
        """Each change from now on, each document's in the order of its versions.

        Raises:
            UnavailableError: When the connection breaks: changes may be lost. Read again, watch anew.
        """
        with _faults():
            subscription = self._client.pubsub(ignore_subscribe_messages=False)
        try:
            with _faults():
                subscription.subscribe(_LAYOUT.channel)
                # The first message confirms: from here on, nothing is missed.
                subscription.get_message(timeout=None)
            while True:
                with _faults():
                    message = subscription.get_message(timeout=None)
                if message is not None and message["type"] == "message":
                    yield _change(message["data"])
                elif message is not None and message["type"] == "subscribe":
                    # The library has connected anew without a word.
                    raise UnavailableError(
                        ErrorReason.NOT_READY, "", "changes were lost: read again, watch anew"
                    )
        finally:
            subscription.close()

    def _key(self, name: FactName) -> str:
        """Where a document lies."""
        if self._secret is None:
            self._client.set(_LAYOUT.salt, secrets.token_hex(16), nx=True)
            self._secret = bytes(self._client.get(_LAYOUT.salt))
        return _core.fact_key(self._secret, name.tenant, str(name.kind), name.id)


def _cluster(scheme: str, rest: str, options: dict[str, Any]) -> RedisCluster:
    """A Cluster that is learned from any of several servers."""
    user, _, places = rest.rpartition("@")
    parsed = redis.connection.parse_url(f"{scheme}://{user}{'@' if user else ''}host")  # type: ignore[no-untyped-call]
    shared = {key: value for key, value in parsed.items() if key in {"username", "password"}}
    nodes = []
    for place in places.rstrip("/").split(","):
        host, _, port = place.rpartition(":")
        host, port = (host, port) if host else (place, "6379")
        nodes.append(ClusterNode(host.strip("[]"), int(port)))  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=nodes, ssl=scheme == "rediss", **shared, **options)


def _arguments(at: int, put: FactPut, ttl: timedelta | None) -> list[str | int]:
    """The script's arguments for one document."""
    field = f"facts[{at}]"
    if put.version is not None and not 0 < put.version <= _LAYOUT.max_version:
        message = "must be 1 to 2^53 - 1, or unset"
        raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, f"{field}.version", message)
    if not 0 < len(put.source.encode()) <= _LAYOUT.max_id_bytes:
        raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, f"{field}.source", "must have 1 to 256 bytes")
    try:
        value = json.dumps(put.value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(value.encode())
    except (TypeError, ValueError, RecursionError) as fault:
        message = f"holds what JSON cannot: {fault}"
        raise _invalid(ErrorReason.FIELD_MALFORMED, f"{field}.value", message) from fault
    if size > _LAYOUT.max_value_bytes:
        message = f"has {size} bytes as JSON, over {_LAYOUT.max_value_bytes}"
        raise _invalid(ErrorReason.TOO_LARGE, f"{field}.value", message)
    document = json.dumps(_name(put.name), ensure_ascii=False)[:-1] + f', "value": {value}}}'
    observed = max((put.observed_at or datetime.now(UTC)) - _EPOCH, timedelta())
    return [
        "" if put.version is None else put.version,
        document,
        put.source,
        observed // _MICROSECOND,
        "" if ttl is None else ttl // timedelta(milliseconds=1),
    ]


def _check_names(names: Sequence[FactName], field: str, part: str, *, same_tenant: bool = False) -> None:
    """Refuses what is no name, and lists that are empty or too long."""
    if not 0 < len(names) <= _LAYOUT.max_batch:
        raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, field, f"must hold 1 to {_LAYOUT.max_batch:,}")
    seen = set()
    for at, name in enumerate(names):
        path = f"{field}[{at}]{part}"
        try:
            id_bytes, tenant_bytes = len(name.id.encode()), len(name.tenant.encode())
        except UnicodeEncodeError as fault:
            raise _invalid(ErrorReason.FIELD_MALFORMED, path, "is no Unicode text") from fault
        if not 0 < id_bytes <= _LAYOUT.max_id_bytes:
            raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, f"{path}.id", "must have 1 to 256 bytes")
        if tenant_bytes > _LAYOUT.max_id_bytes:
            raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, f"{path}.tenant", "must have at most 256 bytes")
        if same_tenant and name.tenant != names[0].tenant:
            message = "differs from the first: one call changes one tenant"
            raise _invalid(ErrorReason.FIELD_OUT_OF_RANGE, f"{path}.tenant", message)
        if same_tenant and name in seen:
            raise _invalid(ErrorReason.DUPLICATE, path, "is named before: name each document once")
        seen.add(name)


def _name(name: FactName) -> dict[str, str | None]:
    """A name as it stands in a document."""
    return {"id": name.id, "kind": str(name.kind), "tenant": name.tenant or None}


def _read(name: FactName | None, version: Any, document: Any, source: Any, observed: Any) -> Fact | None:
    """A document from its fields."""
    if document is None:
        return None
    try:
        content = json.loads(document)
        found = FactName(FactKind(content["kind"]), content["id"], content["tenant"] or "")
        observed_at = _EPOCH + int(observed) * _MICROSECOND
        fact = Fact(found, content["value"], int(version), _text(source), observed_at)
    except (ValueError, KeyError, TypeError, OverflowError) as fault:
        raise ServerError(ErrorReason.INTERNAL, "", "the store holds what is no document") from fault
    if name is not None and found != name:
        raise ServerError(ErrorReason.INTERNAL, "", "the store holds a document under another's name")
    return fact


def _change(data: bytes) -> FactChange:
    """A change that was published."""
    head, _, body = data.partition(b"\n")
    try:
        fields, content = json.loads(head), json.loads(body)
        name = FactName(FactKind(content["kind"]), content["id"], content["tenant"] or "")
        version = int(fields["v"])
    except (ValueError, KeyError, TypeError) as fault:
        raise ServerError(ErrorReason.INTERNAL, "", "a change was published that is none") from fault
    fact = _read(name, version, body, fields["s"], fields["o"]) if "o" in fields else None
    return FactChange(name, version, fact)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _invalid(reason: ErrorReason, field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(reason, field, message)


@contextmanager
def _faults() -> Iterator[None]:
    """Turns the library's errors into the product's; none repeats a password."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as fault:
        raise OverloadedError(ErrorReason.OVERLOADED, "", "the store has no memory left") from fault
    except redis.exceptions.AuthenticationError as fault:
        message = "the store refused user or password"
        raise UnavailableError(ErrorReason.NOT_READY, "", message) from fault
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as fault:
        raise UnavailableError(ErrorReason.NOT_READY, "", f"the store does not answer: {fault}") from fault
    except redis.exceptions.RedisError as fault:
        raise ServerError(ErrorReason.INTERNAL, "", f"the store refused: {fault}") from fault

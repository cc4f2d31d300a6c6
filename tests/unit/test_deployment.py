"""The image, the compose topology and Envoy's configuration name what exists, and agree."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from pdp.cli import app
from pdp.config import Config, load

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file."""
    document: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def envoy() -> dict[str, Any]:
    """Envoy's configuration."""
    document: dict[str, Any] = yaml.safe_load((REPOSITORY / "deploy" / "envoy" / "envoy.yaml").read_text())
    return document


def instructions(name: str) -> list[str]:
    """Arguments of each instruction of a kind, with continued lines joined."""
    joined = re.sub(r"\\\n", " ", DOCKERFILE)
    return [" ".join(line.split()[1:]) for line in joined.splitlines() if line.split()[:1] == [name]]


def options_of(command: list[str]) -> None:
    """Parses a command line of the product; wrong options end the test."""
    root: Any = typer.main.get_command(app)
    name, *arguments = command
    root.commands[name].make_context(name, arguments)


def test_copied_paths_exist_and_are_sent_to_the_builder() -> None:
    """No `COPY` of a path that is missing or ignored."""
    sent = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for copy in instructions("COPY"):
        for source in copy.split()[:-1]:
            assert (REPOSITORY / source).exists(), source
            assert f"!{source.split('/')[0]}" in sent, source


def test_image_runs_as_nobody() -> None:
    """The last user is not root."""
    assert instructions("USER")[-1] == "65532:65532"


def test_image_has_two_stages() -> None:
    """Compilers stay behind."""
    assert len(instructions("FROM")) == 2


def test_image_s_commands_are_the_product_s() -> None:
    """Entry point, command and health check parse."""
    assert instructions("ENTRYPOINT") == ['["pdp"]']
    options_of(yaml.safe_load(instructions("CMD")[-1]))
    check = yaml.safe_load(instructions("HEALTHCHECK")[0].split("CMD ", 1)[1])
    assert check[0] == "pdp"
    options_of(check[1:])


def test_image_s_settings_are_settings() -> None:
    """Every variable of the image is known and usable."""
    (block,) = instructions("ENV")
    variables = dict(pair.split("=", 1) for pair in shlex.split(block))
    config = load(None, variables, {}).config
    assert isinstance(config, Config)
    assert config.policies == Path("/etc/pdp/policies")


def test_compose_services_are_confined(compose: dict[str, Any]) -> None:
    """No service writes to its image, keeps capabilities or is reachable from outside this machine."""
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_compose_files_exist(compose: dict[str, Any]) -> None:
    """Each mounted path is in the repository."""
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            assert (REPOSITORY / volume.split(":")[0]).exists(), volume


def test_compose_names_agree(compose: dict[str, Any]) -> None:
    """Networks and dependencies exist, and health is asked where it is waited for."""
    services = compose["services"]
    for service in services.values():
        assert set(service["networks"]) <= set(compose["networks"])
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert "healthcheck" in services[other]
    _, *command = services["pdp"]["healthcheck"]["test"]
    options_of(command[1:])


def test_compose_settings_are_settings(compose: dict[str, Any]) -> None:
    """Every variable that the decision points are given is known and usable."""
    variables = dict(compose["services"]["pdp"]["environment"])
    assert load(None, variables, {}).config.state.redis_url is not None


def test_decision_points_share_one_store(compose: dict[str, Any]) -> None:
    """Several of them reach the store, nobody else does, and it forgets no counter."""
    services = compose["services"]
    assert services["pdp"]["deploy"]["replicas"] >= 2
    on_network = {name for name, service in services.items() if "state" in service["networks"]}
    assert on_network == {"pdp", "redis"}
    assert compose["networks"]["state"]["internal"] is True
    command = services["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_envoy_reaches_the_decision_point(compose: dict[str, Any], envoy: dict[str, Any]) -> None:
    """Envoy's upstream is the compose service and its port; its own ports are published."""
    (cluster,) = envoy["static_resources"]["clusters"]
    (group,) = cluster["load_assignment"]["endpoints"]
    (endpoint,) = group["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert address["address"] in compose["services"]
    assert str(address["port_value"]) in compose["services"][address["address"]]["expose"]
    (listener,) = envoy["static_resources"]["listeners"]
    own = [listener["address"], envoy["admin"]["address"]]
    published = {port.split(":")[-1] for port in compose["services"]["envoy"]["ports"]}
    assert {str(one["socket_address"]["port_value"]) for one in own} == published


def test_envoy_never_retries(envoy: dict[str, Any]) -> None:
    """A proxy cannot know which request spends a counter."""
    assert "retry_policy" not in str(envoy)

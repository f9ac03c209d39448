"""The reverse proxy as it is documented, in front of a real server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import requests
from service.kit import ROOT
from service.processes import Installation, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubspot_simulator import Simulator

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is needed: Debian's nginx-light")


@pytest.fixture(scope="module")
def service(
    postgres_server: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("proxied")
    found = Installation.fresh(postgres_server, folder, hubspot.url)
    proxy = None
    try:
        found.serve()
        port = free_port()
        proxy = start_nginx(folder, documented(found.url, port))
        found.url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(found.url), seconds=20, why=found.logs())
        yield found
    finally:
        if proxy is not None:
            proxy.terminate()
            proxy.wait(20)
        found.stop()


def documented(server: str, port: int) -> str:
    """The proxy's configuration, with addresses of the test's own."""
    conf = (ROOT / "ops" / "nginx" / "scan-service.conf").read_text()
    conf = conf.replace("127.0.0.1:5200", server.removeprefix("http://"))
    return conf.replace("listen 80;", f"listen 127.0.0.1:{port};")


def start_nginx(folder: Path, site: str) -> subprocess.Popen[bytes]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    return subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(main)])


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def test_the_service_answers_through_the_proxy_and_knows_its_clients(
    service: Installation,
) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9"}
    stats = service.ask("GET", "/api/v1/stats")
    metrics = requests.get(f"{service.url}/metrics", headers=forged, timeout=10)
    large = service.ask(
        "POST", "/api/v1/scan/start", data=b"x" * (1024 * 1024 + 10),
    )  # fmt: skip

    assert stats.status_code == 200
    assert stats.headers["X-Correlation-ID"]
    assert metrics.status_code == 404
    assert large.json()["error"]["code"] == "VALIDATION_ERROR"
    assert (stats.status_code, large.status_code) == (200, 413)


def test_a_flood_of_slow_clients_stops_nobody(service: Installation) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    slow = []
    try:
        for _ in range(300):
            each = socket.create_connection((host, int(port)), timeout=10)
            each.sendall(b"POST /api/v1/scan/start HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
            slow.append(each)
        began = time.monotonic()
        answered = [service.ask("GET", "/api/v1/stats").status_code for _ in range(5)]
        took = time.monotonic() - began
    finally:
        for each in slow:
            each.close()

    assert answered == [200] * 5
    assert took < 10


def test_the_limits_are_for_networks_of_which_nobody_has_many(
    service: Installation, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/health/live"
    conf = documented(service.url, port).replace("rate=50r/s", "rate=1r/m").replace("=200", "=3")
    # Who asks is whom he says he is, for once.
    proxy = start_nginx(tmp_path, "set_real_ip_from 127.0.0.1; real_ip_header X-Client;\n" + conf)
    try:
        wait_for(lambda: answers(url.removesuffix("/health/live")), seconds=20)

        def asked(*addresses: str) -> list[int]:
            return [
                requests.get(url, headers={"X-Client": each}, timeout=20).status_code
                for each in addresses
            ]

        mine = asked(*(f"2001:db8:0:a0a:{number:x}::1" for number in range(6)))
        others = asked("2001:db8:0:a0b::1", "192.0.2.1", "192.0.2.2")
    finally:
        proxy.terminate()
        proxy.wait(20)

    assert mine == [200] * 4 + [429] * 2
    assert others == [200] * 3

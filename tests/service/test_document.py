"""Every example of the API document, replayed as written; every answer compared key by key."""

from __future__ import annotations

import json
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from service.kit import TOKEN
from service.processes import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Portal, Simulator
    from service.kit import Client, Ledger

DOCUMENT = Path(__file__).with_name("document.md").read_text(encoding="utf-8")
HOST = "https://hubspot-deals-api.your-domain.com"
EXAMPLE_TOKEN = "pat-na1-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def response_of(heading: str) -> Any:
    """The first JSON example after a heading that is an answer."""
    text = DOCUMENT.split(heading, 1)[1]
    found = re.search(r"#### Response[^\n]*\n```json\n(.*?)```", text, re.DOTALL)
    assert found
    return json.loads(found[1])


def assert_has_keys(ours: Any, documents: Any, path: str = "") -> None:
    """Ours has every key of the document's, with a value of its kind or null."""
    if isinstance(documents, dict):
        assert isinstance(ours, dict), path
        missing = documents.keys() - ours.keys()
        assert not missing, f"{path}: {missing}"
        for name, value in documents.items():
            # Their custom properties and filters are examples, not a shape.
            if name not in ("customProperties", "filters"):
                assert_has_keys(ours[name], value, f"{path}.{name}")
    elif isinstance(documents, list):
        assert isinstance(ours, list), path
        if ours and documents:
            assert_has_keys(ours[0], documents[0], f"{path}[0]")
    elif ours is not None and not isinstance(documents, bool):
        numbers = (int, float)
        same = isinstance(ours, numbers) == isinstance(documents, numbers)
        assert same, f"{path}: {ours!r} for {documents!r}"


@pytest.fixture(scope="module")
def service(
    postgres_server: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("document")
    installation = Installation.fresh(postgres_server, folder, hubspot.url)
    try:
        installation.serve()
        installation.work()
        yield installation
    finally:
        installation.stop()


def here(text: str, service: Installation) -> str:
    """An example as its reader would run it: with his host, key and token."""
    text = text.replace(HOST, service.url).replace("https://api.your-domain.com", service.url)
    text = re.sub(r"sk_live_\w+\.\.\.", service.key, text)
    return text.replace(EXAMPLE_TOKEN, TOKEN)


def test_the_python_examples_run_as_written(
    service: Installation, portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start, watch, page through, download, handle errors: each block after the other."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed: list[str] = []
    names["print"] = lambda *words: printed.append(" ".join(map(str, words)))
    examples = blocks("python")
    assert len(examples) == 5

    for example in examples:
        # Polling every five seconds is for people.
        code = here(example, service).replace("time.sleep(5)", "time.sleep(0.5)")
        exec(compile(code, "document", "exec"), names)  # noqa: S102 - the point of the test

    said = "\n".join(printed)
    assert "Scan started: python-test-001" in said
    assert "Status: completed | Progress: 100.0%" in said
    truth = portal.truth("deals").live.values()
    expected = sum(deal.properties["pipeline"] == "default" for deal in truth)
    assert f"Total deals retrieved: {expected}" in said
    assert "Request failed: 405" in said  # its last block posts to the last block's address
    for extension in ("json", "csv", "xlsx"):
        assert f"Downloaded: hubspot_deals_results.{extension}" in said
        assert (tmp_path / f"hubspot_deals_results.{extension}").stat().st_size > 1000


def test_the_curl_examples_run_as_written(service: Installation, tmp_path: Path) -> None:
    examples = blocks("bash")
    assert len(examples) == 7

    def run(example: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", here(example, service)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    health, start, status, result, download, cancel, remove = examples
    assert json.loads(run(health))["status"] == "healthy"
    assert json.loads(run(start))["data"]["status"] == "pending"
    service.finished("weekly-deals-sync-001")
    answer = json.loads(run(status))
    assert answer["data"]["status"] == "completed"
    assert json.loads(run(result))["data"]["scanStatus"] == "completed"
    run(download)
    for extension in ("csv", "xlsx", "json"):
        assert (tmp_path / f"hubspot_deals_2025-11-10.{extension}").stat().st_size > 0
    assert json.loads(run(cancel))["error"]["code"] == "CONFLICT"
    assert json.loads(run(remove))["data"]["deletedRecords"]["scanJob"] == 1


def powershell_body(example: str) -> Any:
    """A hashtable as ConvertTo-Json would write it; enough of PowerShell for the document."""
    text = example[example.index("$body = ") + len("$body = ") : example.index("| ConvertTo-Json")]
    text = re.sub(r"^(\s*)\"?([\w-]+)\"? = ", r'\1"\2": ', text, flags=re.MULTILINE)
    text = re.sub(r"@\(([^)]*)\)", r"[\1]", text.replace("@{", "{"))
    text = text.replace("$true", "true").replace("$false", "false").replace("$null", "null")
    # Lines of a hashtable end where JSON has commas.
    text = re.sub(r'(["}\]\w])\n(\s*")', r"\1,\n\2", text)
    return json.loads(text)


def powershell_paths(example: str, **variables: str) -> list[tuple[str, str]]:
    """Method and path of every request that an example makes."""
    found = []
    for words in re.findall(r"Invoke-\w+ -Uri (.*?)(?:\n\n|\Z)", example, re.DOTALL):
        path = words.split('"')[1].removeprefix(HOST)
        for name, value in variables.items():
            path = path.replace(f"${name}", value)
        method = re.search(r"-Method (\w+)", words)
        found.append((method[1].upper() if method else "GET", path))
    return found


def powershell_fields(example: str) -> list[list[str]]:
    return [words.split(".") for words in re.findall(r"\$response\.([\w.]+)", example)]


def test_the_powershell_examples_ask_what_there_is_and_read_what_is_answered(
    service: Installation,
) -> None:
    """Without PowerShell at hand: the same requests, and the fields that the examples print."""
    start, status, download = (here(example, service) for example in blocks("powershell"))

    def at(answer: Any, path: list[str]) -> Any:
        for name in path:
            answer = answer[name]
        return answer

    sent = dict(re.findall(r'^    "([\w-]+)" = "([^"]*)"$', start, re.MULTILINE))
    ((method, path),) = powershell_paths(start.replace(service.url, HOST))
    begun = requests.request(
        method, service.url + path, headers=sent, json=powershell_body(start), timeout=30
    )
    service.finished("powershell-test-001")
    ((_, path),) = powershell_paths(status.replace(service.url, HOST), scanId="powershell-test-001")
    shown = requests.get(service.url + path, headers=sent, timeout=30)
    codes = [
        requests.get(service.url + path, headers=sent, timeout=30).status_code
        for form in re.findall(r'"(\w+)"', download.split("$formats = ", 1)[1].split("\n")[0])
        for _, path in powershell_paths(
            download.replace(service.url, HOST), scanId="powershell-test-001", format=form
        )
    ]

    assert sent.keys() == {"Authorization", "X-Tenant-ID", "Content-Type"}
    assert begun.status_code == 202, begun.text
    assert [at(begun.json(), each) for each in powershell_fields(start)] == [
        "powershell-test-001", "pending",
    ]  # fmt: skip
    percent, done, total = (at(shown.json(), each) for each in powershell_fields(status))
    assert percent == 100.0
    assert done == total > 0
    assert codes == [200, 200, 200]


def test_every_answer_has_the_documents_keys(service: Installation) -> None:
    example = json.loads(blocks("json")[3])
    example["config"]["auth"]["accessToken"] = TOKEN
    example["config"]["dateRange"] = {"startDate": "2000-01-01", "endDate": "2099-12-31"}
    example["config"]["rateLimitDelay"] = 0
    name = example["config"]["scanId"]

    started = service.ask("POST", "/api/v1/scan/start", json=example).json()
    service.finished(name)
    answers = {
        "### 1. Start Deal Extraction": started,
        "### 2. Get Scan Status": service.ask("GET", f"/api/v1/scan/status/{name}").json(),
        "### 3. List All Scans": service.ask("GET", "/api/v1/scan/list").json(),
        "### 5. Get Extraction Results": service.ask(
            "GET", f"/api/v1/scan/result/{name}?include_associations=true"
        ).json(),
        "### 1. Health Check": service.ask("GET", "/health").json(),
        "### 2. Service Statistics": service.ask("GET", "/api/v1/stats").json(),
    }
    service.start("to-cancel")
    answers["### 4. Cancel Scan"] = service.ask("POST", "/api/v1/scan/cancel/to-cancel").json()
    answers["### 7. Delete Scan Results"] = service.ask(
        "DELETE", f"/api/v1/scan/remove/{name}?confirm=true"
    ).json()

    for heading, answer in answers.items():
        assert_has_keys(answer, response_of(heading), heading)


def test_the_csv_has_the_documents_columns_in_its_order(client: Client, ledger: Ledger) -> None:
    (example,) = blocks("csv")
    expected = example.splitlines()[0].split(",")
    client.start("columns")
    ledger.complete("columns")
    head = client.get("/api/v1/scan/download/columns/csv").text.splitlines()[0]

    columns = head.split(",")
    places = [columns.index(name) for name in expected]
    assert columns[: len(expected)] == expected
    assert all(left < right for left, right in pairwise(places))

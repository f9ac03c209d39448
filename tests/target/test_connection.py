"""Reaching the database: wrong settings are told clearly, and no password is ever shown."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from psycopg2.extensions import parse_dsn
from singer_sdk.exceptions import ConfigValidationError
from target_deals_postgres.config import settings_of
from target_deals_postgres.errors import DatabaseError
from target_deals_postgres.settings import SCHEMA
from target_deals_postgres.storing.database import Database
from target_deals_postgres.storing.sentences import redacted
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader

SECRET = "s3cr3t/wörd@x:1"


def run(
    tmp_path: Path, config: dict[str, Any], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    return subprocess.run(
        [sys.executable, "-m", "target_deals_postgres", "--config", str(file)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:1/db",
        f"postgresql://me:{SECRET}@127.0.0.1:1/db",
        f"postgresql://me:{quote(SECRET, safe='')}@no.such.host.invalid/db",
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:port/db",
        f"postgresql://127.0.0.1:1/db?password={quote(SECRET, safe='')}",
        f"host=127.0.0.1 port=1 password='{SECRET}'",
        f"mysql://me:{quote(SECRET, safe='')}@127.0.0.1/db",
        f"me:{SECRET}",
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:1/db?sslmode=nonsense",
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:1/db?sslmode=require",
    ],
)
def test_an_unreachable_database_is_one_sentence_without_the_password(
    tmp_path: Path, url: str
) -> None:
    began = time.monotonic()
    done = run(tmp_path, {"database_url": url})
    assert done.returncode == 1
    assert time.monotonic() - began < 30  # a few seconds on a quiet machine
    text = done.stderr.decode() + done.stdout.decode()
    assert "database_url" in text
    assert "Traceback" not in text
    for part in ("s3cr3t", "wörd", quote("wörd")):
        assert part not in text
    assert len([line for line in text.splitlines() if "ERROR" in line]) == 1


def test_a_wrong_password_is_not_shown(pg: Loader) -> None:
    name = pg.rows("SELECT current_database()")[0][0]
    password = SECRET.replace("/", "%2F").replace("@", "%40")
    url = pg.url.replace("postgres@", f"nobody_{name}:{password}@")
    with pytest.raises(DatabaseError, match="database_url cannot be reached") as raised:
        Database(url).check()
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    "option",
    [
        "quote_all_identifiers=on",  # "text" would not be text any more
        "default_transaction_isolation=serializable",
        "idle_in_transaction_session_timeout=50ms",
        "search_path=nowhere",
        "row_security=off",
        "DateStyle=German",
        "standard_conforming_strings=off",
    ],
)
def test_settings_of_the_server_do_not_change_what_is_stored(pg: Loader, option: str) -> None:
    url, pg.url = pg.url, pg.url + "&options=" + quote(f"-c {option}")
    day = {"type": ["string", "null"], "format": "date"}
    for text in ("x\\'", "y\\'"):
        pg.load(
            pg.schema("t", {"id": "integer", "v": "string", "day": day}, ["id"]),
            pg.records("t", *({"id": at, "v": text, "day": "2026-02-03"} for at in range(50))),
            batch_size_rows=20,
        )
    pg.url = url
    assert pg.rows("SELECT DISTINCT v, day::text FROM hubspot.t") == [("y\\'", "2026-02-03")]


def test_what_the_url_says_reaches_the_server(pg: Loader) -> None:
    options = quote("-c statement_timeout=54321 -c lock_timeout=4321 -c search_path=pg_catalog")
    database = Database(f"{pg.url}&application_name=mine&options={options}")
    names = ("statement_timeout", "lock_timeout", "application_name", "TimeZone")
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)

    def work(cur: Any) -> Any:
        cur.execute(asked)
        return cur.fetchone()

    assert database.transaction(work) == ("54321ms", "4321ms", "mine", "UTC")
    database.close()
    default = Database(pg.url)
    assert default.transaction(work)[2] == "target-deals-postgres"
    default.close()


def answer_as(version: str, listener: socket.socket) -> None:
    """Greet a client as a PostgreSQL server of some version does."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!I", len(body) + 4) + body

    client, _ = listener.accept()
    with client:
        client.recv(8)  # the question whether TLS is spoken here
        client.sendall(b"N")
        client.recv(1000)
        settings = {"server_version": version, "client_encoding": "UTF8", "DateStyle": "ISO, MDY"}
        said = [f"{name}\0{value}\0".encode() for name, value in settings.items()]
        client.sendall(
            message(b"R", struct.pack("!I", 0))
            + b"".join(message(b"S", one) for one in said)
            + message(b"Z", b"I")
        )
        client.recv(1000)


@pytest.mark.parametrize("version", ["13.23", "9.6.24", "8.0.2 (Redshift)"])
def test_a_server_too_old_is_named(tmp_path: Path, version: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_as, args=(version, listener))
        server.start()
        url = f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:{listener.getsockname()[1]}/db"
        done = run(tmp_path, {"database_url": url})
        server.join()
    assert done.returncode == 1
    log = done.stderr.decode()
    assert f"database_url leads to PostgreSQL {version}, but 14 or newer is needed" in log
    assert "Traceback" not in log


def test_a_statement_timeout_ends_the_run_with_a_sentence(pg: Loader) -> None:
    pg.load(pg.schema("t", {"id": "integer"}, ["id"]))
    pg.rows(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;"
        "CREATE TRIGGER slow BEFORE INSERT ON hubspot.t FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    )
    pg.url += "&options=" + quote("-c statement_timeout=300ms")
    with pytest.raises(DatabaseError, match="statement timeout"):
        pg.load(pg.schema("t", {"id": "integer"}, ["id"]), pg.records("t", {"id": 1}), pg.state(1))
    assert pg.states == []
    pg.url = pg.url.split("&options")[0]
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(0,)]


@pytest.mark.parametrize("unset", [None, "", " "])
def test_the_embedded_database_is_used_when_nothing_is_set(
    pg: Loader, monkeypatch: pytest.MonkeyPatch, unset: str | None
) -> None:
    class Fake:
        def start(self) -> str:
            return pg.url

    monkeypatch.setattr("target_deals_postgres.embedded.project_server", Fake)
    defaults = {name: one.get("default") for name, one in SCHEMA["properties"].items()}
    database = Database(settings_of({**defaults, "database_url": unset}).database_url)
    database.check()
    database.close()


def settings(**given: Any) -> str | None:
    defaults = {name: one.get("default") for name, one in SCHEMA["properties"].items()}
    return settings_of({**defaults, **given}).database_url


def test_the_parts_of_a_connection_do_what_a_url_does(pg: Loader) -> None:
    parts: dict[str, Any] = parse_dsn(pg.url)
    parts["port"] = int(parts["port"])
    pg.load(
        pg.schema("t", {"id": "integer"}, ["id"]),
        pg.records("t", {"id": 1}),
        **{**parts, "database_url": "", "password": "p@ss", "sslmode": "prefer"},
    )

    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]


@pytest.mark.parametrize("password", ["p@ss:w/ord", "it's \\ here", " begins with a space", "ö="])
def test_a_password_of_its_own_is_taken_as_it_is(password: str) -> None:
    url = settings(host="db", dbname="crm", user="loader", password=password)

    assert url is not None
    assert parse_dsn(url) == {
        "host": "db",
        "dbname": "crm",
        "user": "loader",
        "password": password,
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"database_url": "postgresql://h/d", "host": "h", "port": 1}, "database_url and host, po"),
        ({"host": "h", "user": "u"}, "host, user: dbname must be set too"),
        ({"password": "secret"}, "password: host and dbname must be set too"),
    ],
)
def test_parts_that_contradict_or_do_not_suffice_are_refused_by_name(
    given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigValidationError, match=sentence) as refused:
        settings(**given)
    assert "secret" not in str(refused.value)


def test_an_error_names_the_settings_that_say_where_the_database_is(tmp_path: Path) -> None:
    given = {"host": "127.0.0.1", "port": 1, "user": "me@here", "password": "p@ss", "dbname": "d"}
    for config, words in (
        (given, "the database of host, port, user, password, dbname cannot be reached"),
        ({"database_url": "host=127.0.0.1 port=1"}, "the database of database_url cannot be"),
    ):
        done = run(tmp_path, config)
        log = done.stderr.decode()
        assert done.returncode == 1
        assert words in log
        assert "percent-encoded" not in log
        assert ("database_url" in log) == ("database_url" in config)


def test_a_password_with_spaces_and_quotes_is_not_shown() -> None:
    url = settings(host="127.0.0.1", port=1, dbname="d", password="two words' end")

    with pytest.raises(DatabaseError) as unreachable:
        Database(url).check()
    assert not {"two", "words"} & set(str(unreachable.value).replace("'", " ").split())
    assert redacted("password two words' end", url) == "password ***"


@pytest.mark.parametrize("name", ["password", "database_url"])
@pytest.mark.parametrize("value", [4711, ["4711"]])
def test_a_secret_that_is_no_text_is_named_and_not_shown(
    capsys: pytest.CaptureFixture[str], name: str, value: Any
) -> None:
    with pytest.raises(ConfigValidationError) as raised:
        TargetDealsPostgres(config={"host": "h", "dbname": "d", name: value})
    assert raised.value.errors == [f"{name} must be a text."]
    assert "4711" not in capsys.readouterr().err

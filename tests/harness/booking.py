"""A booking system's export with invented people, and a mapping and an account that fit it."""

from __future__ import annotations

from typing import Any

TOKEN = "pat-na1-booking"
HEADER = (
    "Login;Mitglied-Status;Vorname;Familienname;Telefon;Mobil;Fax;E-Mail;Mg.Nr;PLZ;Ort;Anschrift;"
    "Geburtstag;Mehrwertsteuer;Kontoinhaber;Kontonummer;Bankleitzahl;Name der Bank;IBAN;BIC;"
    "SEPA Mandat vom;SEPA Referenz;Datum der letzten Buchung;"
    "Wert der letzten Buchung (bezahlter Betrag);Datum der nächsten zukünftigen Buchung;"
    "Kontaktkategorie"
)
NAME = "export-schorndorf_2026_11_28.csv"
MAPPING: dict[str, Any] = {
    "pattern": "export-*.csv",
    "settle_seconds": 0,
    "site": {"from": "filename", "pattern": "export-(?P<site>[a-z-]+)_"},
    "contacts": {
        "key": "email",
        "columns": {
            "email": {"column": ["E-Mail", "Email"], "type": "email", "required": True},
            "firstname": {"column": "Vorname"},
            "lastname": {"column": ["Familienname", "Name"]},
            "zip": {"column": "PLZ"},
            "city": {"column": "Ort"},
            "date_of_birth": {"column": "Geburtstag", "type": "date", "on_bad": "blank"},
            "kontaktkategorie": {
                "column": "Kontaktkategorie",
                "default": "McArena {site}",
                "append": True,
            },
            "letzte_buchung": {"column": "Datum der letzten Buchung", "type": "date"},
            "wert": {
                "column": ["Wert der letzten Buchung (bezahlter Betrag)", "Wert der Buchung"],
                "type": "number",
            },
        },
    },
    "deals": {
        "when": "letzte_buchung",
        "key": "buchungsnummer",
        "value": {"otherwise": "hash(site, email, letzte_buchung, wert)"},
        "pipeline": "default",
        "dealstage": "closedwon",
        "columns": {
            "dealname": {"template": "{kontaktkategorie} {letzte_buchung:%d.%m.%Y}"},
            "closedate": {"from": "letzte_buchung"},
            "amount": {"from": "wert"},
        },
    },
}


def person(number: int, **changes: str) -> str:
    """One row of an invented person."""
    cells = dict.fromkeys(HEADER.split(";"), "")
    cells |= {
        "Login": f"person{number}",
        "Vorname": "Björn",
        "Familienname": f"Muster{number}",
        "E-Mail": f"muster{number}@beispiel-verein.de",
        "PLZ": "01067",
        "Ort": "Köln",
        "Geburtstag": "24.12.1959",
        "IBAN": "DE00 0000 0000",
        "Datum der letzten Buchung": "03.11.2026",
        "Wert der letzten Buchung (bezahlter Betrag)": "1.234,50",
    }
    return ";".join((cells | changes).values())


def sheet(*rows: str) -> str:
    """A whole file."""
    return "\n".join([HEADER, *rows]) + "\n"

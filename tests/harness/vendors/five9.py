"""Five9's web service for administrators: a description, Basic, envelopes, faults in them."""

from __future__ import annotations

import base64
import re
from xml.sax.saxutils import escape

from harness.vendors.server import Answer, Request, Vendor

SPACE = "http://service.admin.ws.five9.com/"
FIELDS = {
    "contactID": "NUMBER",
    "number1": "PHONE",
    "first_name": "STRING",
    "Last Agent Disposition Date Time": "DATE_TIME",
    "Total Job Amount": "CURRENCY",
    "DoNotDial": "BOOLEAN",
    "PC Work Finished": "DATE",
}


def element(name: str, kind: str, *, many: bool = False) -> str:
    return f'<xs:element name="{name}" type="{kind}" minOccurs="0"' + (
        ' maxOccurs="unbounded"/>' if many else "/>"
    )


def complex_type(name: str, *elements: str) -> str:
    inner = f"<xs:sequence>{''.join(elements)}</xs:sequence>"
    return f'<xs:complexType name="{name}">{inner}</xs:complexType>'


class Five9(Vendor):
    """A Five9 with contacts and lists."""

    def __init__(self, *, contacts: int = 5) -> None:
        super().__init__()
        self.user, self.password = "admin@acme", "five9-password"
        self.imports = ""  # what the description imports
        self.contacts = [self.contact(n) for n in range(contacts)]
        self.lists = [("New & old", 3), ("Zürich", 2)]

    @staticmethod
    def contact(number: int) -> list[str | None]:
        """A contact's values, in the order of the fields."""
        return [
            *(str(2**40 + number), f"555000{number:04d}", "Zoë <3" if number % 2 else None),
            *("2026-01-31 12:00:00.000", "1234.50", "true", "2026-02-28"),
        ]

    def answer(self, request: Request) -> Answer:
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {wanted}":
            return Answer(b"<html>401</html>", 401)
        if request.method == "GET":
            return Answer(self._description().encode(), headers={"Content-Type": "text/xml"})
        text = request.body.decode()
        if "getListsInfo" in text:
            found = [f"<name>{escape(n)}</name><size>{s}</size>" for n, s in self.lists]
            return self._envelope("getListsInfo", "".join(f"<return>{x}</return>" for x in found))
        if "getContactFields" in text:
            found = [f"<name>{n}</name><type>{t}</type>" for n, t in FIELDS.items()]
            body = "".join(f"<return>{x}</return>" for x in found)
            return self._envelope("getContactFields", body)
        return self._contacts(text)

    def _contacts(self, text: str) -> Answer:
        rows = self.contacts
        fields = re.findall(r"<(?:\w+:)?field>([^<]*)<", text)
        values = re.findall(r"<(?:\w+:)?value>([^<]*)<", text)
        for field, value in zip(fields, values, strict=True):
            if field not in FIELDS:
                return self._fault(f"Field {field} not found")
            rows = [row for row in rows if row[list(FIELDS).index(field)] == value]
        names = "".join(f"<fields>{name}</fields>" for name in FIELDS)
        records = "".join(
            "<records><values>"
            + "".join(f"<data>{escape(v)}</data>" if v else '<data xsi:nil="true"/>' for v in row)
            + "</values></records>"
            for row in rows
        )
        return self._envelope("getContactRecords", f"<return>{names}{records}</return>")

    @staticmethod
    def _envelope(operation: str, body: str) -> Answer:
        content = (
            '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><env:Body>'
            f'<ns2:{operation}Response xmlns:ns2="{SPACE}">{body}</ns2:{operation}Response>'
            "</env:Body></env:Envelope>"
        )
        return Answer(content.encode(), headers={"Content-Type": "text/xml; charset=utf-8"})

    @staticmethod
    def _fault(message: str) -> Answer:
        content = (
            '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>'
            f"<env:Fault><faultcode>env:Server</faultcode><faultstring>{message}</faultstring>"
            "</env:Fault></env:Body></env:Envelope>"
        )
        return Answer(content.encode(), 500, {"Content-Type": "text/xml; charset=utf-8"})

    def _description(self) -> str:
        text = "xs:string"
        operations = {
            "getListsInfo": ("listNamePattern", "xs:string", "tns:listInfo", True),
            "getContactFields": ("namePattern", "xs:string", "tns:contactField", True),
            "getContactRecords": ("lookupCriteria", "tns:lookup", "tns:lookupResult", False),
        }
        types = [
            complex_type("listInfo", element("name", "xs:string"), element("size", "xs:int")),
            complex_type("contactField", element("name", text), element("type", text)),
            complex_type("criterion", element("field", text), element("value", text)),
            complex_type("lookup", element("criteria", "tns:criterion", many=True)),
            complex_type(
                "values",
                '<xs:element name="data" type="xs:string" nillable="true" minOccurs="0"'
                ' maxOccurs="unbounded"/>',
            ),
            complex_type("record", element("values", "tns:values")),
            complex_type(
                "lookupResult",
                element("fields", "xs:string", many=True),
                element("records", "tns:record", many=True),
            ),
        ]
        messages, ports, bindings = [], [], []
        for name, (argument, kind, result, many) in operations.items():
            types += [
                complex_type(name, element(argument, kind)),
                complex_type(f"{name}Response", element("return", result, many=many)),
                f'<xs:element name="{name}" type="tns:{name}"/>',
                f'<xs:element name="{name}Response" type="tns:{name}Response"/>',
            ]
            messages += [
                f'<message name="{m}"><part name="parameters" element="tns:{m}"/></message>'
                for m in (name, f"{name}Response")
            ]
            ports.append(
                f'<operation name="{name}"><input message="tns:{name}"/>'
                f'<output message="tns:{name}Response"/></operation>'
            )
            bindings.append(
                f'<operation name="{name}"><soap:operation soapAction=""/>'
                '<input><soap:body use="literal"/></input>'
                '<output><soap:body use="literal"/></output></operation>'
            )
        imported = f'<xs:import namespace="urn:x" schemaLocation="{self.imports}"/>'
        return (
            '<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" '
            'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" '
            f'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:tns="{SPACE}" '
            f'targetNamespace="{SPACE}"><types><xs:schema targetNamespace="{SPACE}">'
            f"{imported if self.imports else ''}{''.join(types)}</xs:schema></types>"
            f"{''.join(messages)}"
            f'<portType name="Admin">{"".join(ports)}</portType>'
            '<binding name="AdminBinding" type="tns:Admin">'
            '<soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>'
            f'{"".join(bindings)}</binding><service name="AdminService">'
            f'<port name="AdminPort" binding="tns:AdminBinding">'
            '<soap:address location="https://elsewhere.five9.example/"/>'
            "</port></service></definitions>"
        )

"""Knows every way in which ThingSpace says no, and every shape in which the words come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from html import escape

import orjson

JSON = "application/json"
GATEWAY_SHAPES = ("fault", "fault-number", "fault-bare", "json", "oauth", "response-code", "xml", "html", "empty")
SHAPES_WITH_CODE = ("fault", "fault-number", "fault-bare")  # those by which a client knows 900906


class Source(Enum):
    """Who refuses: each has a shape of its own."""

    GATEWAY = "fault"
    SERVICE = "json"
    OAUTH = "oauth"
    FIXED = "fixed"


@dataclass(eq=False)
class Refusal(Exception):
    """The answer is this status with these words, in the shape of its source or a shape of its own."""

    status: int
    code: str
    text: str
    detail: str = ""
    source: Source = Source.SERVICE
    own_shape: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> str:
        return self.own_shape or self.source.value

    def body(self, shape: str) -> tuple[bytes, str]:
        """The body in this shape, with its content type."""
        match shape:
            case "xml":
                return _XML.format(
                    self.code, escape(self.text), escape(self.detail or self.text)
                ).encode(), "application/xml"
            case "html":
                return _HTML.format(self.status, escape(self.text)).encode(), "text/html"
            case "empty":
                return b"", "text/plain"
            case _:
                return orjson.dumps(self._json(shape)), JSON

    def _json(self, shape: str) -> Mapping[str, object]:
        match shape:
            case "oauth":
                return {"error": self.code, "error_description": self.text}
            case "response-code":
                return {"responseCode": self.code, "message": self.text}
            case "fault" | "fault-number" | "fault-bare":
                number = shape == "fault-number" and self.code.isdigit()
                fault = {
                    "code": int(self.code) if number else self.code,
                    "message": self.text,
                    "description": self.detail or self.text,
                }
                return fault if shape == "fault-bare" else {"fault": fault}
            case _:
                return {"errorCode": self.code, "errorMessage": self.text}


_XML = (
    '<am:fault xmlns:am="http://wso2.org/apimanager"><am:code>{}</am:code>'
    "<am:type>Status report</am:type><am:message>{}</am:message><am:description>{}</am:description></am:fault>"
)
_HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0} {1}</h1></body></html>"


def gateway(status: int, code: str, text: str, detail: str = "") -> Refusal:
    return Refusal(status, code, text, detail, source=Source.GATEWAY)


def oauth(status: int, code: str, text: str) -> Refusal:
    return Refusal(status, code, text, source=Source.OAUTH)


def invalid(text: str) -> Refusal:
    """FOTA's own no: one code for everything, told apart by its text."""
    return Refusal(400, "INVALID_PARAMETER", text)


def uws(code: str, text: str) -> Refusal:
    return Refusal(400, f"UnifiedWebService.{code}", text)


def missing_call(*, as_xml: bool = False) -> Refusal:
    """The answer to a call that does not exist."""
    text = "No matching resource found in the API for the given request"
    if as_xml:
        return Refusal(404, "404", text, source=Source.GATEWAY, own_shape="xml")
    return gateway(400, "900906", text, "Access failure for API. Check the API documentation.")


def forbidden() -> Refusal:
    text = "The access to the API is forbidden"
    return Refusal(403, "403", text, source=Source.GATEWAY, own_shape="xml")

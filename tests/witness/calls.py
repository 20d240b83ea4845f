"""Lists every call of Verizon's SDK: its name, and the request that it makes."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from apimatic_core.decorators.lazy_property import LazyProperty
from verizon.configuration import Configuration, Environment, Server
from verizon.controllers.base_controller import BaseController
from verizon.verizon_client import VerizonClient

from witness.witnesses import ACCOUNT

_REQUEST = re.compile(
    r"""RequestBuilder\(\)\s*\.server\(Server\.(\w+)\)\s*\.path\("([^"]+)"\)\s*\.http_method\(HttpMethodEnum\.(\w+)\)"""
)


@dataclass(frozen=True)
class SdkCall:
    """A method of a controller, which is a property of the client, and what it sends where."""

    controller: str
    name: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.controller}.{self.name}"


def every_call() -> Iterator[SdkCall]:
    """All that the SDK can do; one whose request cannot be read in its source is an error."""
    client = VerizonClient()
    for controller in (name for name, value in vars(VerizonClient).items() if isinstance(value, LazyProperty)):
        for name, function in inspect.getmembers(type(getattr(client, controller)), inspect.isfunction):
            if not name.startswith("_") and not hasattr(BaseController, name):
                yield _read(controller, name, function)


def _read(controller: str, name: str, function: Any) -> SdkCall:
    said = _REQUEST.search(inspect.getsource(inspect.unwrap(function)))
    assert said, f"{controller}.{name} is not written as the others are"
    server, path, method = said.groups()
    base = urlsplit(Configuration.environments[Environment.PRODUCTION][getattr(Server, server)]).path
    return SdkCall(controller, name, method, base + re.sub(r"\{(\w+)\}", _value, path))


def _value(parameter: re.Match[str]) -> str:
    """A place for the account is given the account, and any other a name."""
    return quote(ACCOUNT if parameter[1].lower() in {"acc", "account", "accountname", "aname"} else "some")

"""A small client of the simulator that does what it is told and nothing more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from licensesync.simulator.bought import Sim, Sku
from licensesync.simulator.server import DEFAULT_ACCOUNT, Simulator

ACCOUNT = DEFAULT_ACCOUNT
BASIC = "Basic a2V5OnNlY3JldA=="  # key:secret
A, B, C = "990000473475989", "990003425730535", "990007303425535"
SIM_A, SIM_B, SIM_C = (
    Sim(A, "89148000000800139708"),
    Sim(B, "89148000000800139716"),
    Sim(C, "89148000000800139724"),
)
SKU = "SIMSec-IoT"
LICENSES = "/api/m2m/v1/devices/license/actions/assign"
SUBSCRIPTIONS = "/api/m2m/v1/accounts/subscriptions/actions/list"
CALLBACKS = f"/api/m2m/v1/callbacks/{ACCOUNT}"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def rows(self) -> dict[str, Any]:
        return {row["deviceId"]: row for row in self.json["deviceList"]}


@dataclass
class Guest:
    """Speaks to one simulator, with the tokens of its last login."""

    sim: Simulator
    http: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, json: object = None, **more: Any) -> Answer:
        more.setdefault("headers", self.headers)
        if json is not None:
            more["json"] = json
        async with self.http.request(method, self.sim.url + path, allow_redirects=False, **more) as response:
            headers = {name: value for name, value in response.headers.items() if name != "Date"}
            return Answer(response.status, await response.read(), headers)

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, json: object = None, **more: Any) -> Answer:
        return await self.ask("POST", path, json, **more)

    async def token(self, grant: str = "client_credentials", basic: str = BASIC) -> Answer:
        headers = {"Authorization": basic} if basic else {}
        return await self.post("/api/ts/v1/oauth2/token", data={"grant_type": grant}, headers=headers)

    async def login(self, user: str = "user", password: str = "password") -> Answer:  # noqa: S107 - made up
        return await self.post("/api/m2m/v1/session/login", {"username": user, "password": password})

    async def come_in(self) -> None:
        token = await self.token()
        self.headers = {"Authorization": f"Bearer {token.json['access_token']}"}
        self.headers["VZ-M2M-Token"] = (await self.login()).json["sessionToken"]

    async def status(self, cursor: str = "0", version: str = "v3", account: str = ACCOUNT) -> Answer:
        return await self.get(f"/api/fota/{version}/licenses/{account}/index/{cursor}")

    async def assign(self, *devices: str, version: str = "v3") -> Answer:
        return await self.post(f"/api/fota/{version}/licenses/{ACCOUNT}/assign", {"deviceList": devices})

    async def remove(self, *devices: str, version: str = "v3") -> Answer:
        return await self.post(f"/api/fota/{version}/licenses/{ACCOUNT}/remove", {"deviceList": devices})

    async def look_up(self, *devices: str) -> Answer:
        return await self.post(f"/api/fota/v3/devices/{ACCOUNT}", {"deviceList": devices})

    async def subscription(self, version: str = "v3") -> Answer:
        return await self.get(f"/api/fota/{version}/subscriptions/{ACCOUNT}")

    async def sim_assign(self, *devices: Sim, sku: str = SKU) -> Answer:
        return await self.post(LICENSES, sim_request(*devices, sku=sku))

    async def sim_unassign(self, *devices: Sim, sku: str = SKU) -> Answer:
        return await self.ask("DELETE", LICENSES, sim_request(*devices, sku=sku))

    async def counts(self, sku: str = SKU) -> tuple[int, int, int]:
        """What is told of a SKU: purchased, assigned, available."""
        told = await self.post(SUBSCRIPTIONS, {"accountName": ACCOUNT, "skuNumber": sku})
        (row,) = told.json["subscriptionList"]
        return row["licensePurchased"], row["licenseAssigned"], row["licenseAvailable"]

    async def is_called_back_at(self, url: str, **credentials: str) -> None:
        await self.post(CALLBACKS, {"name": "CarrierService", "url": url, **credentials})

    def buy(self, purchased: int, *licensed: Sim, sku: str = SKU, **more: Any) -> Sku:
        """So many licenses of a SKU, some of them assigned."""
        self.sim.world.accounts[ACCOUNT].skus[sku] = Sku(purchased, licensed=set(licensed), **more)
        return self.sim.world.accounts[ACCOUNT].skus[sku]

    async def walk(self) -> list[str]:
        """Every device in the order of the pages, as a client that trusts the cursor reads them."""
        found, cursor = [], "0"
        while True:
            page = (await self.status(cursor)).json
            found += [row["deviceId"] for row in page.get("deviceList") or []]
            if page["hasMoreData"] not in (True, "true"):
                return found
            cursor = str(page["lastSeenDeviceId"])

    def give(self, devices: Sequence[str]) -> None:
        for device in devices:
            self.sim.world.accounts[ACCOUNT].give(device, 0.0)

    @property
    def licensed(self) -> list[str]:
        return list(self.sim.world.accounts[ACCOUNT].licensed)


def sim_request(*devices: Sim, sku: str = SKU) -> dict[str, Any]:
    """The documented body of a request to assign or unassign."""
    listed = [
        {"deviceIds": [{"id": device.imei, "kind": "imei"}, {"id": device.iccid, "kind": "iccid"}]}
        for device in devices
    ]
    return {"accountName": ACCOUNT, "skuNumber": sku, "devices": listed}

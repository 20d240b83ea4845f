"""JSON Schemas of the settings and the inventory, made of what the parsers themselves go by."""

from __future__ import annotations

from typing import Final

from licensesync import callers, groups, notices, pools, settings, sources, values
from licensesync.model import Mode, Product
from licensesync.values import Kind, Schema

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
FOR_SIM_SECURE: Final = ("sku", "others", "revocable")


def settings_schema() -> Schema:
    """What `licensesync.yaml` may hold."""
    thingspace = _mapping(
        "How ThingSpace is spoken to.",
        url=_described(values.URL, "One base for all services; the simulator's address goes here too."),
        timeout=_described(values.span(), "For one request; 30s if not set."),
        concurrency=_described(settings.CONCURRENCY, "Requests in flight; 4 if not set."),
        requests_per_second=_described(settings.RATE, "10 if not set."),
        insecure=_described(values.FLAG, "true: plain http beyond loopback is allowed."),
        batch_size=_described(settings.BATCH_SIZE, "FOTA devices in one call, at most 1000; 200 if not set."),
        fota=_mapping(
            "How the FOTA calls are addressed, where Verizon's documentation contradicts itself.",
            status=_described(settings.STATUS_CALL, "The form of the status call; auto finds out."),
            licenses_path=_described(settings.URL_PATH, "The path of the licenses below /api/fota/v3."),
        ),
    )
    git = _mapping(
        "An inventory at a commit of a git repository.",
        required=("url",),
        url=_described(sources.GIT_URL, "What git clone takes."),
        ref=_described(sources.GIT_REF, "A branch, a tag or a commit; HEAD if not set."),
        path=_described(sources.GIT_PATH, "The file or folder in the repository; its root if not set."),
        deploy_key=_described(
            values.PATH,
            "The file of an SSH key for it; else the credential git-deploy-key; else as git itself finds one.",
        ),
        fetch_every=_described(values.span(), "How often new commits are looked for between runs; 1m if not set."),
        timeout=_described(values.span(), "How long the remote may take; 1m if not set."),
        verify={
            **_mapping(
                "Accept signed commits only.",
                ssh=_described(values.PATH, "A file of SSH allowed signers."),
                gpg=_described(values.PATH, "A file of GPG public keys."),
            ),
            "minProperties": 1,
            "maxProperties": 1,
        },
    )
    local = _mapping(
        "A file or a folder.",
        required=("path",),
        path=_described(values.PATH, "Relative to this file."),
        require_clean=_described(values.FLAG, "true: it must be as it is in its commit."),
    )
    inventory = {
        "description": "A file or a folder, relative to this file; or a git source.",
        "anyOf": [values.PATH.schema, local, _mapping("A git source.", required=("git",), git=git)],
    }
    notifications = _mapping(
        "A webhook that is told of changes of state.",
        webhook=_described(
            values.URL, "Its address; if it is a secret, leave it out and give the credential WEBHOOK_URL."
        ),
        format=_described(notices.NOTICE_FORM, "A JSON document, or a text for Slack; json if not set."),
        repeat=_described(values.span(), "After which a state that lasts is told again; 1d if not set."),
        unreadable_after=_described(
            notices.UNREADABLE_AFTER, "Runs in a row that could not read a pool; 3 if not set."
        ),
    )
    schedule = _mapping(
        "When runs begin: every so often, or as a cron expression says.",
        every=_described(values.span(), "15m if not set."),
        cron=_described(values.CRON, "Minute, hour, day, month and weekday."),
        jitter=_described(values.span(zero=True), "By how much a start may be late, at random."),
    )
    callbacks = _mapping(
        "Where ThingSpace tells what became of requests; needed by sim-secure.",
        required=("public_url",),
        listen=_described(values.ADDRESS, "Where the listener listens; 0.0.0.0:9001 if not set."),
        public_url=_described(values.URL, "What ThingSpace calls; the listener answers at this URL's path."),
        register=_described(values.FLAG, "Whether the listener is registered with ThingSpace."),
        timeout=_described(values.span(), "After which a request without a callback is unknown; 30m if not set."),
        take_over=_described(values.FLAG, "true: a registration of somebody else is replaced; false if not set."),
        tls=_mapping(
            "Lets the listener speak TLS itself.",
            required=("certificate", "key"),
            certificate=_described(
                callers.PEM, "A PEM file with the certificate and its chain; relative to this file."
            ),
            key=_described(callers.PEM, "A PEM file with its key; relative to this file."),
        ),
        sources={
            "description": "Who may call; documented if the listener has tls and no proxy before it, else off.",
            "anyOf": [callers.SOURCES.schema, {**_list(callers.NETWORK.schema, "These alone."), "minItems": 1}],
        },
        trusted_proxies=_list(callers.NETWORK.schema, "Whose X-Forwarded-For is believed; nobody's if not set."),
    )
    root = _mapping(
        "The settings of licensesync.",
        required=("inventory", "pools"),
        thingspace=thingspace,
        inventory=inventory,
        ledger=_described(settings.LEDGER, "As in SQLAlchemy URLs; relative paths are relative to this file."),
        keep=_described(values.span(), "How long the ledger keeps its history."),
        schedule={**schedule, "not": {"required": ["every", "cron"]}},
        listen=_described(values.ADDRESS_OR_OFF, "Health, metrics and status; off for none."),
        pools={
            "description": "The pools, by the names that the inventory uses.",
            "type": "object",
            "minProperties": 1,
            "propertyNames": pools.POOL_NAME.schema,
            "additionalProperties": _pool(),
        },
        callbacks=callbacks,
        notifications=notifications,
        logs=_mapping(
            "What the log says of a run.",
            devices=_described(
                settings.DEVICE_LINES,
                "A line for each device; or for each batch, and for each device that needs a look; each if not set.",
            ),
        ),
    )
    return {"$schema": _DIALECT, "title": "licensesync settings", **root}


def inventory_schema() -> Schema:
    """What a YAML file of an inventory may hold."""
    root = _mapping(
        "An inventory, or a part of it.",
        groups=_list(_group(), "Which devices should hold licenses of which pools."),
        protect=_list(_protection(), "Devices that are never removed from any pool, whatever the groups say."),
        approvals=_list(_approval(), "Refused removals that may be carried out all the same."),
    )
    return {"$schema": _DIALECT, "title": "licensesync inventory", **root}


def _pool() -> Schema:
    removals = _mapping(
        "The guard: above these numbers, all removals of a run are refused.",
        count=_described(pools.COUNT, "In one run; 100 if not set."),
        percent=_described(pools.PERCENT, "Of the devices that hold a license; 10 if not set."),
        per_day=_described(pools.COUNT, "In 24 hours; 200 if not set."),
    )
    tolerance = _described(pools.COUNT, "By how many devices the list and the service's count may differ.")
    pool = _mapping(
        "The licenses of one product in one account.",
        required=("product", "account", "mode"),
        product=_described(pools.PRODUCT, "The kind of license."),
        account=_described(pools.ACCOUNT, "The account as ThingSpace shows it; leading zeros stay."),
        mode=_described(pools.MODE, "add-only; managed: removes managed devices; full: removes all not desired."),
        removals=removals,
        reading=_mapping(
            "When a reading counts as whole, and for how long it may do.",
            tolerance=tolerance,
            reread=_described(
                pools.REREAD,
                "Up to this age serve takes the last whole reading of a fota pool where no count and no inventory has "
                "changed; each run reads whole if not set.",
            ),
        ),
        sku=_described(pools.SKU, "The SKU of a sim-secure pool."),
        revocable=_described(
            values.FLAG, "Whether licenses of a SKU that Verizon does not document can be taken back."
        ),
        others=_described(pools.COUNT, "Licenses of this SKU that are assigned by others."),
    )
    sim_secure = {
        "required": ["sku"],
        "properties": {
            "mode": {"enum": [Mode.ADD_ONLY, Mode.MANAGED]},
            "reading": {"properties": {"reread": False}},
        },
    }
    is_sim_secure = {"properties": {"product": {"const": Product.SIM_SECURE}}, "required": ["product"]}
    return {
        **pool,
        "if": is_sim_secure,
        "then": sim_secure,
        "else": {"properties": dict.fromkeys(FOR_SIM_SECURE, False)},
    }


def _group() -> Schema:
    group = _mapping(
        "Devices that should hold the same licenses.",
        required=("name", "licenses"),
        name=_described(values.SENTENCE, "What plans and reports call the group."),
        licenses={**_list({"type": "string"}, "Names of pools."), "minItems": 1, "uniqueItems": True},
        priority=_described(groups.PRIORITY, "Higher is served first when licenses run short; 0 if not set."),
        devices=_list({"anyOf": [groups.IMEI_KIND.schema, _device()]}, "IMEIs, or mappings with an imei."),
        devices_from=_described(values.PATH, "A file with one IMEI a line, or CSV with a header imei[,iccid][,note]."),
        **{"from": _described(values.DATE, "The first day (UTC) with a license.")},
        until=_described(values.DATE, "The first day (UTC) without a license."),
        consent=_described(groups.CONSENT, "Agrees to lifetime licenses, which cannot be taken back."),
    )
    return {**group, "anyOf": [{"required": ["devices"]}, {"required": ["devices_from"]}]}


def _device() -> Schema:
    return _mapping(
        "A device.",
        required=("imei",),
        imei=_described(groups.IMEI_KIND, "14 to 16 digits."),
        iccid=_described(groups.ICCID_KIND, "18 to 20 digits; sim-secure needs it."),
        note={"description": "For people.", "type": ["string", "number", "boolean", "null"]},
        consent=_described(groups.CONSENT, "Agrees to a lifetime license, which cannot be taken back."),
    )


def _protection() -> Schema:
    return _mapping(
        "A device that is never removed.",
        required=("imei", "reason"),
        imei=_described(groups.IMEI_KIND, "14 to 16 digits."),
        reason=_described(values.SENTENCE, "Why."),
        until=_described(values.DATE, "The first day (UTC) on which the entry no longer holds."),
    )


def _approval() -> Schema:
    return _mapping(
        "Leave to carry out one refused set of removals.",
        required=("refusal", "reason"),
        refusal=_described(groups.REFUSAL, "The hash that the refusal shows."),
        reason=_described(values.SENTENCE, "Why."),
        until=_described(values.DATE, "The first day (UTC) on which the entry no longer holds."),
    )


def _mapping(description: str, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    table: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"description": description, **table, **({"required": list(required)} if required else {})}


def _list(items: Schema, description: str) -> Schema:
    return {"description": description, "type": "array", "items": items}


def _described(kind: Kind[object], description: str) -> Schema:
    return {"description": description, **kind.schema}

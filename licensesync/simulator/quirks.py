"""Lists the ways in which the simulator misbehaves: a closed table, each with a sentence and two defaults."""

import difflib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, cast

from licensesync.simulator import sim_quirks, values
from licensesync.simulator.calls import Call
from licensesync.simulator.entries import Entries
from licensesync.simulator.imeis import ORDERS
from licensesync.simulator.values import BadValueError, Dose, Meddling, Quirk

T = TypeVar("T")
Setting = str | float | bool | Sequence[str]

_NEW = Entries()

# --- tokens and sessions
BEARER_LIFETIME = _NEW.seconds("bearer-lifetime", "How long a bearer token lives.", unkind="20", kind="3600")
BEARER_REMAINDER = _NEW.seconds(
    "bearer-remainder", "The first bearer token was issued before and has only so long to live."
)
BEARER_DIES = _NEW.dose("bearer-dies", "The bearer token is revoked just before the call: 401.", "fota")
SESSION_LIFETIME = _NEW.seconds("session-lifetime", "How long a session lives without use.", unkind="10", kind="1200")
SESSION_DIES = _NEW.dose("session-dies", "The session ends just before the call.", "fota")
SESSION_FORM = _NEW.choice(
    "session-form",
    "How FOTA words a stale session: its INVALID_PARAMETER, the code of UWS, either, or INVALID_ACCESS and no reason.",
    *("fota", "uws", "mixed", "common"),
    unkind="mixed",
)
SESSION_KEPT_BY_FOTA = _NEW.switch(
    "session-kept-by-fota", "A FOTA call counts as use of the session.", unkind="on", kind="on"
)
ONE_SESSION = _NEW.switch("one-session", "A new login ends the former session of this user.")
LOGIN_REJECTED = _NEW.dose("login-rejected", "The login is refused; five in a row lock the user.", "login")
LOGIN_HICCUP = _NEW.dose("login-hiccup", "400 with UnexpectedError, which is no word about the password.", "login")
TOKEN_REJECTED = _NEW.dose("token-rejected", "The token endpoint says that key and secret are wrong.", "token")

# --- refusals, before anything is done
ERROR_503 = _NEW.dose("error-503", "503 before the call has any effect.", "fota", unkind="4%@token+fota")
ERROR_500 = _NEW.dose("error-500", "500 before the call has any effect.", "fota")
ERROR_502 = _NEW.dose("error-502", "502 with an HTML page before the call has any effect.", "fota")
ERROR_429 = _NEW.dose("error-429", "429 before the call has any effect.", "fota")
RETRY_AFTER = _NEW.choice(
    "retry-after", "The form of Retry-After on 429 (and on 503, see below).", "seconds", "date", "mixed", "absent"
)
RETRY_AFTER_429 = _NEW.count("retry-after-429", "How many seconds Retry-After of a 429 asks for.", unkind="1", kind="1")
RETRY_AFTER_503 = _NEW.count("retry-after-503", "How many seconds Retry-After of a 503 asks for; off: no such header.")
FORBIDDEN = _NEW.dose("forbidden", "403 as XML: this key may not use the API.", "fota")
REDIRECT = _NEW.dose("redirect", "307 to another address.", "fota")
REDIRECT_TO = _NEW.enter(
    Quirk(
        "redirect-to",
        "Where a redirect leads; off: to /_sim/elsewhere of this simulator under the name localhost.",
        *("a URL, or off", values.address, "off", "off"),
    )
)
GATEWAY_SHAPE = _NEW.choice(
    "gateway-shape",
    "The body of 401, 403, 404, 429, 5xx and 900906; mixed: seeded, but a 400 keeps its code.",
    *("documented", "fault", "fault-number", "fault-bare", "json", "oauth", "response-code", "xml", "html"),
    *("empty", "mixed"),
    unkind="mixed",
)
SERVICE_SHAPE = _NEW.choice(
    "service-shape",
    "The body of a 400 by FOTA and of a failed login.",
    *("json", "fault", "fault-bare", "response-code", "xml", "html", "empty"),
)
ACCOUNT_TROUBLE = _NEW.choice(
    "account-trouble",
    "What FOTA thinks of the account: inactive (400), not-found (400), forbidden (403), broken (500 for ever).",
    *("none", "inactive", "not-found", "forbidden", "broken"),
)

# --- which calls there are
STATUS_FORM = _NEW.choice(
    "status-form",
    "Which form of the v2 and v3 status call answers: /index/CURSOR or ?lastSeenDeviceId=.",
    "both",
    "path",
    "query",
)
MISSING_CALL = _NEW.choice(
    "missing-call", "The answer to a call that does not exist: 400 with 900906, or 404 as XML.", "900906", "404"
)
FIRMWARE_ALIAS = _NEW.switch("firmware-alias", "/firmware/licenses/ answers like /licenses/.")
DEVCE_LIST = _NEW.switch("devce-list", "A write may spell deviceList as devceList.")
SUBSCRIPTION_CALL = _NEW.choice(
    "subscription-call", "What the subscription call does: answers, fails, or leaves all fields out.",
    *("up", "503", "404", "fieldless"),
)  # fmt: skip
LOOKUP_CALL = _NEW.choice(
    "lookup-call", "What device list and look-up do: answer, fail, or leave licenseAssigned out.",
    *("up", "503", "404", "fieldless"),
)  # fmt: skip
LOOKUP_FILTER = _NEW.switch(
    "lookup-filter", "The look-up hides other than LWM2M devices unless ?protocol=all, as the list does."
)
LOOKUP_ROWS_LOST = _NEW.dose("lookup-rows-lost", "A row of a look-up is missing.", "lookup")
LIST_LAG = _NEW.seconds("list-lag", "The license list tells the state of so long ago.")
LOOKUP_LAG = _NEW.seconds("lookup-lag", "Device list and look-up tell the state of so long ago.")

# --- how answers are written
PROFILE = _NEW.choice(
    "profile",
    "Whose field names an answer uses; by-version: those of the call's version; mixed: seeded, for each answer.",
    *("by-version", "portal-v3", "sdk-v3", "v1", "v2", "mixed"),
    unkind="mixed",
)
CURSOR_TYPE = _NEW.choice("cursor-type", "lastSeenDeviceId as text or as a number.", "as-profile", "text", "number")
CURSOR_AT_END = _NEW.choice(
    "cursor-at-end", "lastSeenDeviceId of the last page.", "as-profile", "last", "zero", "absent"
)
EMPTY_LIST = _NEW.choice("empty-list", "deviceList when there is none.", "as-profile", "list", "null", "absent")
MORE_TYPE = _NEW.choice("more-type", "hasMoreData as true or as text.", "as-profile", "bool", "text")
TIME_FORM = _NEW.choice(
    "time-form", "How assignmentTime is written.", "as-profile", "go", "iso", "iso-short", "sentinel", "mixed", "absent"
)
COUNT_FORM = _NEW.choice(
    "count-form", "Counts of a write: licCount, licTotalCount, both with different values, or none.",
    *("as-profile", "licCount", "licTotalCount", "both", "none"),
)  # fmt: skip
LETTER_CASE = _NEW.choice(
    "letter-case", "Rows of a write in other letter case: the words, the reason's key, or all keys.",
    *("documented", "words", "reason-key", "keys"),
)  # fmt: skip

# --- reading
PAGE_SIZE = _NEW.enter(
    Quirk("page-size", "How many devices a page holds.", values.COUNT, values.page_size, "20", "1000")
)
SHUFFLED_ROWS = _NEW.switch("shuffled-rows", "Rows within a page are in no order.", unkind="on")
PAGE_ORDER = _NEW.choice(
    "page-order", "The order across pages: IMEIs as numbers, as text, backwards, or in none that is known.", *ORDERS
)
CURSOR_FORM = _NEW.choice(
    "cursor-form", "The cursor is the last IMEI, or the number of rows so far (as the samples have it).", "imei", "rows"
)
CURSOR_CHECK = _NEW.choice(
    "cursor-check",
    "Which cursors are refused: none but IMEIs of the account pass, only licensed ones pass, or all pass.",
    *("account", "licensed", "lenient"),
)
WRONG_ACCOUNT = _NEW.dose("wrong-account", "A page (or another answer of FOTA) names another account.", "status")
ASSIGNED_OFF_BY = _NEW.change("assigned-off-by", "assignedLicenses disagrees with the list by so many.")
ASSIGNED_DRIFTS = _NEW.change("assigned-drifts", "assignedLicenses changes by so many with each page after the first.")
SUBSCRIPTION_OFF_BY = _NEW.change("subscription-off-by", "licenseUsedCount disagrees with the list by so many.")
COUNTS_ABSENT = _NEW.choice("counts-absent", "Which counts a page lacks.", "none", "total", "assigned", "both")
REPEATED_CURSOR = _NEW.dose(
    "repeated-cursor", "A page has more to come but repeats the cursor it was asked with.", "status"
)
EMPTY_PAGE = _NEW.dose(
    "empty-page", "A page is empty and says that there is more, with a cursor that moves on.", "status"
)
LAST_PAGE_LOST = _NEW.dose("last-page-lost", "The last page but one says that there is no more.", "status")
ROWS_LOST = _NEW.dose("rows-lost", "A row is missing in a page.", "status")
ROWS_DOUBLED = _NEW.dose("rows-doubled", "A page repeats a row of the page before it.", "status")
WRONG_TYPES = _NEW.choice(
    "wrong-types",
    "A page with a wrong type: IMEIs as numbers or null, rows as bare text, list as object, counts or more as text.",
    *("off", "imei-number", "imei-null", "bare-rows", "list-object", "counts-text", "more-maybe", "array"),
)

# --- writing
MAX_DEVICES = _NEW.count(
    "max-devices", "A write of FOTA with more devices is refused whole (NumberofDevices).", unkind="1000"
)
UNKNOWN_DEVICES = _NEW.imeis("unknown-devices", "These are no devices of any account.")
STRICT_DEVICES = _NEW.switch("strict-devices", "Only devices that were declared or licensed exist.")
UNKNOWN_ANSWER = _NEW.choice(
    "unknown-answer", "A device that does not exist: either wording in its row, or the whole request refused.",
    *("not-found", "does-not-exist", "whole"),
)  # fmt: skip
MALFORMED_ANSWER = _NEW.choice(
    "malformed-answer", "A malformed IMEI: the whole request refused, or its row.", "whole", "row"
)
POISON_DEVICES = _NEW.imeis(
    "poison-devices", "A write that names one of these is refused whole, as an invalid id of a device."
)
OVER_ALLOCATION = _NEW.choice(
    "over-allocation", "More assigned than free: failed rows, or the whole request refused.", "rows", "whole"
)
FILL_ORDER = _NEW.choice(
    "fill-order",
    "Who gets the last licenses: in the order of the request, or seeded.",
    "asked",
    "seeded",
    unkind="seeded",
)
UPGRADE_PENDING = _NEW.dose("upgrade-pending", "A device's row says UpgradePending.", "writes")
PENDING_TAKES = _NEW.enter(
    Quirk(
        "pending-takes",
        "After how long an UpgradePending takes effect.",
        *(values.NEVER_OR_SECONDS, values.seconds_or_never, "never", "never"),
    )
)
ODD_STATUS = _NEW.dose(
    "odd-status", "A row of a write has a status that is not documented; its effect is what it is.", "writes"
)
WRITE_ROWS_LOST = _NEW.dose("write-rows-lost", "A row of a write is missing; its effect is what it is.", "writes")
FALSE_SUCCESS = _NEW.dose("false-success", "A row of a write says success though nothing was done.", "writes")
FALSE_FAILURE = _NEW.dose("false-failure", "A row of a write says failure though all was done.", "writes")
ROWS_CONTRADICT = _NEW.dose(
    "rows-contradict",
    "Before or after a row of a write stands another for its device that says the opposite.",
    "writes",
)
EXTRA_ROWS = _NEW.count("extra-rows", "A write answers so many rows for devices that were not asked.")
PURCHASE_TYPE = _NEW.choice(
    "purchase-type",
    "What was bought: monthly licenses, both kinds, a bundle, or events only (calls answer, or are refused).",
    *("mrc", "both", "bundle", "event", "event-refused"),
)

# --- answers that go astray
LOST_BEFORE_EFFECT = _NEW.dose(
    "lost-before-effect", "The connection closes without an answer; nothing was done.", "writes"
)
LOST_AFTER_EFFECT = _NEW.dose("lost-after-effect", "The connection closes without an answer; all was done.", "writes")
LOST_LATE_EFFECT = _NEW.dose(
    "lost-late-effect", "The connection closes without an answer; all is done later, see late-effect.", "writes"
)
LATE_EFFECT = _NEW.seconds("late-effect", "After how long a late effect comes.", unkind="2", kind="2")
ERROR_500_AFTER_EFFECT = _NEW.dose("error-500-after-effect", "500 though all was done.", "writes")
CUT_OFF = _NEW.dose("cut-off", "The connection closes in the middle of the answer.", "fota")
TRUNCATED_JSON = _NEW.dose("truncated-json", "200 with a body that ends too early.", "fota")
HTML_200 = _NEW.dose("html-200", "200 with an HTML page.", "fota")
EMPTY_200 = _NEW.dose("empty-200", "200 with an empty body.", "fota")
DELAYED = _NEW.dose("delayed", "The answer comes late, see delay.", "fota")
DELAY = _NEW.seconds("delay", "How late a delayed answer comes.", unkind="2", kind="2")

CLOCK_OFF_BY = _NEW.change("clock-off-by", "The Date of every answer is so many seconds off.")

# --- other people
OTHERS_IN_WALK = _NEW.enter(
    Quirk(
        "others-in-walk",
        "Somebody else assigns or removes licenses after that page.",
        *(values.WALK_CHANGE, values.walk_change, "off", "off"),
    )
)
OTHERS_BEFORE_WRITE = _NEW.change(
    "others-before-write", "Somebody else assigns or removes licenses before the next write, once."
)

TABLE: Mapping[str, Quirk[Any]] = MappingProxyType(_NEW.table | sim_quirks.TABLE)


class Quirks:
    """The quirks in force: read with `quirks[PAGE_SIZE]`, set by name with the text of a value."""

    def __init__(self, chance: random.Random, *, kind: bool = False) -> None:
        self._chance = chance
        self._texts: dict[str, str] = {}
        self._values: dict[str, object] = {}
        self._seen: Counter[str] = Counter()
        for quirk in TABLE.values():
            self.set(quirk.name, quirk.kind if kind else quirk.unkind)

    def __getitem__(self, quirk: Quirk[T]) -> T:
        return cast("T", self._values[quirk.name])

    def set(self, name: str, setting: Setting) -> None:
        """Switch a quirk; a wrong name or value is a `BadValueError` that says what to write."""
        quirk, text = find(name), _text(setting)
        self._values[name], self._texts[name] = read(quirk, text), text
        self._seen[name] = 0

    def in_force(self) -> dict[str, str]:
        """Every quirk with the text of its value."""
        return dict(self._texts)

    def happens(self, quirk: Quirk[Dose], call: Call) -> bool:
        """Whether it happens to this one call (or row): asking counts."""
        dose = self[quirk]
        if call not in dose.where:
            return False
        if dose.first or dose.only:
            self._seen[quirk.name] += 1
            return self._seen[quirk.name] in (dose.only, *range(1, dose.first + 1))
        return dose.chance > 0 and self._chance.random() < dose.chance

    def once(self, quirk: Quirk[int] | Quirk[Meddling]) -> None:
        """It happened, and shall not happen again."""
        self.set(quirk.name, "off")


def find(name: str) -> Quirk[Any]:
    if name in TABLE:
        return TABLE[name]
    close = difflib.get_close_matches(name, TABLE, n=3) or sorted(TABLE)
    raise BadValueError(f"unknown quirk {name!r}; write one of {', '.join(close)}")


def read(quirk: Quirk[T], text: str) -> T:
    try:
        return quirk.read(text)
    except BadValueError as problem:
        raise BadValueError(f"{quirk.name}={text}: {problem}") from None


def _text(setting: Setting) -> str:
    if isinstance(setting, str):
        return setting
    if isinstance(setting, bool):
        return "on" if setting else "off"
    return str(setting) if isinstance(setting, int | float) else ",".join(setting) or "off"

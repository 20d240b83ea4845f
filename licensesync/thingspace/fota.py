"""The FOTA product: who holds a license, proved; and what became of each device in a write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial

from licensesync.aside import aside
from licensesync.errors import ApiError, BatchRejected, IncompleteObservation, NoSuchResource, RequestRejected
from licensesync.model import Action, Capacity, DeviceId, Observed, Outcome, Pool, Verb
from licensesync.thingspace import batch_errors, fota_calls, fota_verdicts
from licensesync.thingspace.client import Client, Reader
from licensesync.thingspace.foreknown import Known
from licensesync.thingspace.fota_calls import START, StatusForm, StatusPage, Subscription
from licensesync.thingspace.ranges import OrderInDoubt
from licensesync.thingspace.walk import CountChanged, PageUnreadable, Progress, Tally, one_by_one, side_by_side

WALKS = 3
PAUSE = 0.3


class FotaReader:
    """Reads the FOTA licenses of one account; it has no way to change them."""

    def __init__(self, pool: Pool, reader: Reader, *, cursors: int, form: StatusForm | None = None) -> None:
        self.pool = pool
        self._reader = reader
        self._cursors = cursors
        self._forms = tuple(StatusForm) if form is None else (form,)
        self._seen = Known.of(())

    async def observe(self, known: Collection[DeviceId], progress: Progress) -> Observed:
        """Who holds a license, proved whole: as many as the service itself counts. `known` are probable holders; those
        that were seen last are taken for such as well.

        Raises IncompleteObservation when that cannot be proved in three walks, ApiError when the service says no.
        """
        bought = asyncio.create_task(self._subscription())
        likely = asyncio.create_task(self._likely(known))
        try:
            tally = await self._walked_whole(likely, progress, bought)
            self._seen = tally.seen
            return Observed(tally.devices, self._capacity(tally.total, tally.assigned, await bought))
        except RequestRejected:
            self._refuse_by_event_only(await bought)
            raise
        finally:
            for beside in (bought, likely):
                beside.cancel()
            await asyncio.wait({bought, likely})

    async def _likely(self, known: Collection[DeviceId]) -> Known:
        return self._seen | await aside(Known.of, known)

    async def capacity(self) -> Capacity:
        """The service's counts of this moment. Raises ApiError, or IncompleteObservation where it has none."""
        page = await self._page(self._reader, START)
        lacking = page.total is None or page.assigned_licenses is None
        return self._capacity(page.total, page.assigned_licenses, await self._subscription() if lacking else None)

    async def _walked_whole(
        self, known: asyncio.Task[Known], progress: Progress, bought: asyncio.Task[Subscription | None]
    ) -> Tally:
        """A walk that saw as many devices as the service counts; one that did not is repeated, at most twice."""
        cursors = self._cursors
        for walk in range(1, WALKS + 1):
            try:
                tally = await self._walked(known, cursors, progress)
                self._refuse_by_event_only(await bought)
                self._prove(tally, self._capacity(tally.total, tally.assigned, await bought))
            except PageUnreadable:
                raise
            except IncompleteObservation as doubt:
                if walk == WALKS:
                    raise IncompleteObservation(f"{doubt} (after {walk} walks)") from doubt
                cursors = cursors if isinstance(doubt, CountChanged) else 1
            else:
                return tally
            await asyncio.sleep(PAUSE * walk)
        raise AssertionError("the last walk returns or raises")  # pragma: no cover - tells mypy so

    async def _walked(self, known: asyncio.Task[Known], cursors: int, progress: Progress) -> Tally:
        async with self._reader.keeping() as reader:
            fetch = partial(self._page, reader)
            if cursors > 1:
                try:
                    return await side_by_side(fetch, Tally(progress, self.pool.tolerance), known, cursors)
                except OrderInDoubt:
                    self._cursors = 1
            return await one_by_one(fetch, Tally(progress, self.pool.tolerance))

    def _prove(self, tally: Tally, capacity: Capacity) -> None:
        listed, counted = len(tally.devices), capacity.assigned
        if abs(listed - counted) > self.pool.tolerance:
            raise IncompleteObservation(
                f"the list has {listed} devices, but the service counts {counted} licenses as assigned; "
                "if they keep differing by as many, set reading: {tolerance: …} for this pool"
            )

    async def _page(self, reader: Reader, cursor: str) -> StatusPage:
        """A page, by the first form of the call that the service knows; from then on by that form alone."""
        for form in self._forms:
            try:
                page = await reader.read(fota_calls.status_page(self.pool.account, cursor, form))
            except NoSuchResource:
                if form is self._forms[-1]:
                    raise
            else:
                self._forms = (form,)
                return page
        raise AssertionError("the last form returns or raises")  # pragma: no cover - tells mypy so

    async def _subscription(self) -> Subscription | None:
        """What the account has bought, or None where the service does not tell: then its pages must."""
        try:
            return await self._reader.read(fota_calls.subscription(self.pool.account))
        except ApiError:
            return None

    def _refuse_by_event_only(self, subscription: Subscription | None) -> None:
        if subscription and subscription.by_event_only:
            raise RequestRejected(
                f"account {self.pool.account} is billed by event only ({subscription.purchase_type}): it has no FOTA "
                "licenses to assign. Buy monthly licenses (TS-HFOTA-MRC) or take the pool out of the settings"
            )

    def _capacity(self, total: int | None, assigned: int | None, subscription: Subscription | None) -> Capacity:
        if subscription:
            total = subscription.license_count if total is None else total
            assigned = subscription.license_used_count if assigned is None else assigned
        if total is None or assigned is None:
            lacking = "how many licenses there are" if total is None else "how many licenses are assigned"
            raise IncompleteObservation(f"neither the list nor the subscription says {lacking}")
        return Capacity(total, assigned)


class FotaLister(FotaReader):
    """Reads as a FotaReader does; `since` has the day (UTC) on which devices got their licenses, where recorded.

    To read the times of a million devices takes a few seconds, which only those wait for who want them.
    """

    def __init__(self, pool: Pool, reader: Reader, *, cursors: int, form: StatusForm | None = None) -> None:
        super().__init__(pool, reader, cursors=cursors, form=form)
        self.since: dict[DeviceId, date] = {}

    async def _page(self, reader: Reader, cursor: str) -> StatusPage:
        page = await super()._page(reader, cursor)
        self.since.update(page.assigned_on)
        return page


class FotaService(FotaReader):
    """Reads and changes the FOTA licenses of one account."""

    largest_batch = 1000

    def __init__(  # noqa: PLR0913 - what differs from one account to the next, by name
        self,
        pool: Pool,
        client: Client,
        *,
        cursors: int,
        form: StatusForm | None = None,
        licenses_path: str = "/licenses",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(pool, client, cursors=cursors, form=form)
        self._client = client
        self._licenses_path = licenses_path
        self._now = now

    async def submit(self, batch: Sequence[Action]) -> list[Outcome]:
        """One outcome for each action of the batch, which has one verb; `unknown` where a look-up must tell.

        Raises BatchRejected when the service did nothing and one of the devices may be the reason.
        """
        request = fota_calls.assign if batch[0].verb is Verb.ASSIGN else fota_calls.remove
        call = request(self.pool.account, [action.device for action in batch], self._licenses_path)
        try:
            verdicts = await self._client.write(call)
        except ApiError as error:
            if batch_errors.may_be_for_one_device(error):
                raise BatchRejected(str(error)) from error
            return [batch_errors.of_error(action, error, self._now()) for action in batch]
        return fota_verdicts.of_answer(batch, verdicts.device_list or [], self._now(), self._client.redacted)

    async def look_up(self, devices: Sequence[DeviceId]) -> Mapping[DeviceId, bool]:
        """Whether these devices (at most 1 000) hold a license; a device of which nothing is said is left out."""
        try:
            seen = await self._client.read(fota_calls.look_up(self.pool.account, devices, protocol="all"))
        except RequestRejected:
            seen = await self._client.read(fota_calls.look_up(self.pool.account, devices))
        return {
            DeviceId(row.device_id): row.holds_license
            for row in seen.device_list or []
            if row.holds_license is not None
        }

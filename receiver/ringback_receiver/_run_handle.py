"""One run that was asked for: wait for its end, or stop waiting."""

from __future__ import annotations

from ringback_receiver._completion import Completion
from ringback_receiver._matching import PendingRequest
from ringback_receiver._store import Store, Tracked
from ringback_receiver._waiters import Waiters
from ringback_receiver.errors import (
    RequestAbandoned,
    RequestCancelled,
    RequestExpired,
    UnknownRequest,
)

__all__ = ["RunHandle"]


class RunHandle:
    """A pending request and its run; it may outlive the process: keep ``request_id``.

    Made by :meth:`Receiver.trigger` and :meth:`Receiver.request`.
    """

    __slots__ = ("_request", "_store", "_waiters")

    def __init__(self, request: PendingRequest, store: Store, waiters: Waiters) -> None:
        self._request = request
        self._store = store
        self._waiters = waiters

    @property
    def request_id(self) -> str:
        """The request's id, which is also the correlation id."""
        return self._request.request_id

    @property
    def dag_id(self) -> str:
        """The DAG's id."""
        return self._request.dag_id

    @property
    def run_id(self) -> str:
        """The DAG run's id."""
        return self._request.run_id

    async def completion(self, timeout: float | None = None) -> Completion:
        """Wait for the end of the run; any number may wait, in any process, and again later.

        :param timeout: in seconds; 0 only looks, ``None`` waits for ever.
        :raises CompletionTimeout: the run did not end in time; the request stays pending.
        :raises RequestExpired: the request's own deadline passed; it is a CompletionTimeout, too.
        :raises RequestCancelled: it was cancelled.
        :raises RequestAbandoned: Airflow refused to create the run, and no event has proved otherwise.
        :raises ReceiverNotOpen: the receiver closed meanwhile.
        :raises StoreError: the store cannot be read now.
        """
        return _completion_of(await (await self._waiters.wait(self.request_id, timeout=timeout)))

    async def cancel(self) -> bool:
        """Stop waiting, for everybody; the run itself goes on, and its event is answered 410.

        :returns: whether the request is cancelled now; it is not if it was resolved before.
        :raises StoreError: the store cannot be written now.
        """
        tracked = await self._store.cancel(self.request_id)
        if tracked is None:
            raise UnknownRequest(f"no request {self.request_id!r} is known here", request_id=self.request_id)
        self._waiters.settle(tracked)
        return tracked.request.state == "cancelled"

    def __repr__(self) -> str:
        return f"RunHandle(request_id={self.request_id!r}, dag_id={self.dag_id!r}, run_id={self.run_id!r})"


def _completion_of(tracked: Tracked) -> Completion:
    """Return what resolved a request that is settled, or raise why nothing ever will."""
    request = tracked.request
    if tracked.completion is not None:
        return tracked.completion
    said = f"request {request.request_id} for {request.dag_id!r}"
    if request.state == "cancelled":
        raise RequestCancelled(f"{said} was cancelled", request_id=request.request_id)
    if request.state == "abandoned":
        raise RequestAbandoned(f"{said} was abandoned: {request.reason}", request_id=request.request_id)
    raise RequestExpired(f"{said} has expired", request_id=request.request_id)

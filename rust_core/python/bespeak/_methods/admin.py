"""For operators."""

import os
import uuid

from bespeak._codec import build, decode
from bespeak._methods.caller import Caller, Method
from bespeak.enums import AvailabilityMode
from bespeak.results import AvailabilityReport, ReconcileResult, SnapshotResult, Stats, UnmetDemand
from bespeak.v1 import admin_pb2 as pb

_SERVICE = "AdminService"
_GET_STATS = Method(_SERVICE, "GetStats", pb.GetStatsResponse)
_RECONCILE = Method(_SERVICE, "Reconcile", pb.ReconcileResponse)
_SNAPSHOT = Method(_SERVICE, "Snapshot", pb.SnapshotResponse)
_BACKUP = Method(_SERVICE, "Backup", pb.BackupResponse)
_CONFIRM_CLOCK = Method(_SERVICE, "ConfirmClock", pb.ConfirmClockResponse)
_GET_UNMET_DEMAND = Method(_SERVICE, "GetUnmetDemand", pb.GetUnmetDemandResponse)
_REPORT_AVAILABILITY = Method(_SERVICE, "ReportAvailability", pb.ReportAvailabilityResponse)
_HOUR_MS = 3_600_000


class AdminMethods(Caller):
    """AdminService."""

    def stats(self, *, with_digest: bool = False) -> Stats:
        """Returns the service in numbers. The digest of the state costs one pass over it, off the promise path."""
        return decode(Stats, self._call(_GET_STATS, build(pb.GetStatsRequest, with_digest=with_digest)))

    def reconcile(self) -> ReconcileResult:
        """Proves conservation per position over the retained journal, off the promise path."""
        return decode(ReconcileResult, self._call(_RECONCILE, pb.ReconcileRequest()))

    def snapshot(self) -> SnapshotResult:
        """Writes a snapshot of the state, so that a start replays less. Promises go on meanwhile.

        Raises:
            FailedPrecondition: the journal is kept in memory.
        """
        return decode(SnapshotResult, self._call(_SNAPSHOT, pb.SnapshotRequest()))

    def backup(self, directory: str | os.PathLike[str]) -> SnapshotResult:
        """Copies a consistent state to a directory where the engine runs, which must be empty or not exist.

        A server takes a directory below its configured backup root only.

        Raises:
            InvalidArgument: the directory lies outside the backup root or is not empty.
            FailedPrecondition: the journal is kept in memory.
        """
        return decode(SnapshotResult, self._call(_BACKUP, build(pb.BackupRequest, directory=os.fspath(directory))))

    def confirm_clock(self, *, request_id: str | uuid.UUID | None = None) -> int:
        """Promises again after a clock jump, and returns the engine's time, UTC milliseconds since 1970."""
        return self._write(_CONFIRM_CLOCK, pb.ConfirmClockRequest, request_id).engine_time_ms

    def unmet_demand(
        self, item: str = "", location: str = "", *, from_day: int = 0, to_day: int = 0
    ) -> tuple[UnmetDemand, ...]:
        """Returns the demand that could not be promised, by position and day.

        Args:
            item: "" is all.
            location: "" is all.
            from_day: first day since 1970-01-01 in the location's calendar, inclusive.
            to_day: last day, inclusive; 0 is no end.

        Raises:
            NotFound: the item or location is not known.
        """
        request = build(pb.GetUnmetDemandRequest, item=item, location=location, from_day=from_day, to_day=to_day)
        return tuple(decode(UnmetDemand, each) for each in self._call(_GET_UNMET_DEMAND, request).rows)

    def report_availability(
        self,
        item: str,
        location: str,
        mode: AvailabilityMode | str = AvailabilityMode.LOOKAHEAD,
        *,
        from_time_ms: int = 0,
        bucket_ms: int = 24 * _HOUR_MS,
        buckets: int = 28,
    ) -> AvailabilityReport:
        """Returns a table of availability in one of the textbook modes. Only LOOKAHEAD is used to promise.

        Args:
            item: the position's item.
            location: the position's location.
            mode: arithmetic of the table.
            from_time_ms: start of the first bucket; 0 is the start of the location's day.
            bucket_ms: length of a bucket, milliseconds.
            buckets: how many.

        Raises:
            NotFound: the item or location is not known.
            InvalidArgument: a value is out of its range.
        """
        request = build(
            pb.ReportAvailabilityRequest,
            item=item,
            location=location,
            mode=mode,
            from_time_ms=from_time_ms,
            bucket_ms=bucket_ms,
            buckets=buckets,
        )
        return decode(AvailabilityReport, self._call(_REPORT_AVAILABILITY, request))

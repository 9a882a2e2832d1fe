"""The tables of the configuration file. Milliseconds and bytes are whole numbers."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass as validated

from serving.worker_config import WorkerConfig


class Section(BaseModel):
    """A table whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Limits(Section):
    """Limits on callers. Full means a refusal at once."""

    connections: int = Field(default=4_096, ge=1)
    """Connections at a time."""
    concurrent_streams: int = Field(default=200, ge=1)
    """Streams of one connection at a time."""
    in_flight: int = Field(default=4_096, ge=1)
    """Requests taken up and not yet answered, all connections together."""
    open_streams: int = Field(default=1_024, ge=1)
    """Long-lived streams at a time."""
    message_bytes: int = Field(default=4 << 20, ge=1_024)
    """Bytes of one message, either way."""
    buffered_bytes: int = Field(default=256 << 20, ge=1)
    """Bytes of requests that have not fully arrived, all connections together."""
    header_bytes: int = Field(default=16 << 10, ge=1_024)
    """Bytes of the headers of one request."""
    handshake_ms: int = Field(default=10_000, ge=1)
    """Time for the TLS and HTTP/2 handshakes."""
    request_body_ms: int = Field(default=30_000, ge=1)
    """Time in which the message of a unary request must have arrived."""
    keep_alive_ms: int = Field(default=30_000, ge=0)
    """Silence after which a connection is asked whether it lives."""
    keep_alive_timeout_ms: int = Field(default=10_000, ge=1)
    """Time for its answer."""
    connection_age_ms: int = Field(default=30 * 60_000, ge=0)
    """Age at which a connection is asked to close; 0 never."""
    connection_grace_ms: int = Field(default=30_000, ge=0)
    """Time for its calls to end then."""
    watch_queue: int = Field(default=1_024, ge=1)
    """Changes kept for one slow watcher before it is told to check again."""
    session_pipeline: int = Field(default=256, ge=1)
    """Answers of one Session that may wait for durability."""
    batch_rows: int = Field(default=65_536, ge=1)
    """Rows of one Arrow batch."""
    batch_slice_us: int = Field(default=500, ge=0)
    """Longest time that a batch holds the engine, microseconds."""
    retry_ms: int = Field(default=50, ge=0)
    """What a shed caller is told to wait."""


class TlsSection(Section):
    """Certificates of the server in PEM files."""

    certificate: Path
    """The server's certificate chain."""
    key: Path
    """Its private key."""
    client_authority: Path | None = None
    """Authorities of client certificates; given, every caller needs one of theirs."""


class JournalSection(Section):
    """Where promises survive."""

    mode: Literal["memory", "group"] = "group"
    """`group` answers after the sync of the group that a write belongs to, `memory` at once: a crash loses all."""
    path: Path | None = Path("bespeak-data/journal")
    """Directory of the journal."""
    segment_bytes: int = Field(default=0, ge=0)
    """Bytes of a segment; 0 is the journal's default."""
    snapshot_every_bytes: int = Field(default=0, ge=0)
    """A snapshot is made after so many bytes of finished segments; 0 is the journal's default."""
    retention_ms: int = Field(default=0, ge=0)
    """How far back earlier states and reconcile reach; 0 is 7 days, less than 24 hours keeps 24 hours."""
    clock_jump_ms: int = Field(default=0, ge=0)
    """A jump of the clock beyond this stops promising; 0 is the journal's default."""
    downtime_ms: int = Field(default=0, ge=0)
    """A clock further ahead of the last record at the start stops promising until confirmed; 0 is 7 days."""


class EngineSection(Section):
    """The engine's policies; 0 is the engine's default."""

    default_hold_ms: int = Field(default=0, ge=0)
    """Life of a hold when a request names none."""
    max_hold_life_ms: int = Field(default=0, ge=0)
    """A hold's total life, extensions included."""
    max_held_units_per_customer: int = Field(default=0, ge=0)
    """Units that one customer may have in holds that are not confirmed."""
    remembered_requests: int = Field(default=0, ge=0)
    """Answers remembered in memory; with a journal at least 131,072."""


class ComputeSection(Section):
    """The compute worker as the server calls it."""

    address: str
    """`http://host:port`, or `unix:/path`."""
    timeout_ms: int = Field(default=30_000, ge=1)
    """Longest time for one call; then the fallback answers."""
    breaker_failures: int = Field(default=3, ge=0)
    """Failures in a row that open the circuit."""
    breaker_open_ms: int = Field(default=5_000, ge=0)
    """How long an open circuit stays open."""

    @field_validator("address")
    @classmethod
    def _has_a_scheme(cls, address: str) -> str:
        # The transport takes any other as well, and then every call fails.
        if not any(address.startswith(scheme) and address != scheme for scheme in ("http://", "unix:")):
            raise ValueError("give http://host:port or unix:/path")
        return address


class TracesSection(Section):
    """OpenTelemetry traces."""

    endpoint: str
    """OTLP collector, `http://host:port`."""
    sample_ratio: float = 0.0
    """Share of calls without a sampled parent that are traced, 0 to 1."""


class ForecastsSection(Section):
    """Forecasts kept beside the engine, and the buffers made from them."""

    stale_after_ms: int = 36 * 3_600_000
    """Age at which a forecast is stale."""
    service_level: float = 0.95
    """Service level of buffers that name none, 0.5 to 0.999999."""
    tier_service_levels: dict[int, float] = Field(default_factory=dict)
    """Service levels by tier, for buffers that name one."""
    hysteresis: float = 0.1
    """A buffer stays while it would move by no more than this share of it, 0 to 1."""
    past_days: int = 35
    """Days for which past forecasts are kept to be scored, 1 to 366."""


class ServerSection(Section):
    """The server."""

    listen: str = "127.0.0.1:7171"
    """Address of the gRPC and Flight port; port 0 takes a free one."""
    metrics_listen: str | None = None
    """Address of the Prometheus text page, loopback only; unset serves none."""
    worker_threads: int = Field(default=0, ge=0)
    """Threads that serve requests; 0 chooses by the cores."""
    limits: Limits = Field(default_factory=Limits)
    tls: TlsSection | None = None
    journal: JournalSection = Field(default_factory=JournalSection)
    engine: EngineSection = Field(default_factory=EngineSection)
    forecasts: ForecastsSection = Field(default_factory=ForecastsSection)
    compute: ComputeSection | None = None
    backup_root: Path | None = None
    """Backups are written below this directory; unset refuses them."""
    traces: TracesSection | None = None
    touch_memory_bytes: int = Field(default=0, ge=0)
    """Memory that is touched at the start, so that no promise waits for the system to give it."""
    drain_ms: int = Field(default=10_000, ge=0)
    """How long a stop waits for calls in progress."""


class ClientTlsSection(Section):
    """Certificates of a client in PEM files."""

    ca: Path | None = None
    """Who signed the server's certificate; unset takes the system's authorities."""
    certificate: Path | None = None
    """The client's own certificate, where the server asks for one."""
    key: Path | None = None
    """Its private key."""
    server_name: str = ""
    """Name in the server's certificate, where it is not the host of the address."""


class ClientSection(Section):
    """How commands such as `check` and `import` reach a server."""

    address: str = "127.0.0.1:7171"
    """`host:port`."""
    timeout_ms: int = 10_000
    """Time after which a call fails."""
    actor: str = "cli"
    """Who or what writes; kept in the journal."""
    tenant: str = ""
    """Who the caller works for; kept in the journal."""
    tls: ClientTlsSection | None = None


class LogSection(Section):
    """What the processes say while they run."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """Least level that is written."""
    format: Literal["auto", "text", "json"] = "auto"
    """`auto` writes text to a terminal and JSON lines to anything else."""


@validated(config=ConfigDict(extra="forbid"), frozen=True)
class WorkerSection(WorkerConfig):
    """The compute worker: its own configuration, with its values checked."""

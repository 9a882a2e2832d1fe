"""How Python processes log: structured, to standard error."""

import logging
import sys

import structlog

from serving.config_sections import LogSection

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def wants_json(section: LogSection) -> bool:
    """Whether lines are JSON: asked for, or nobody reads them at a terminal."""
    return section.format == "json" or (section.format == "auto" and not sys.stderr.isatty())


def set_up(section: LogSection, process: str) -> None:
    """Makes every log line of this process carry its time, level and the name of the process."""

    def of_process(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("process", process)
        return event

    last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if wants_json(section):
        last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            of_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[section.level]),
        # The end of a line goes out with it: the core's threads write to the same place.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

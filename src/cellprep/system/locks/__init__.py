"""One writer at a time: a lock of the system, or a lease where there are no such locks."""

from .writer import StillWriter, check_free, lock_beside, only_writer

__all__ = ["StillWriter", "check_free", "lock_beside", "only_writer"]

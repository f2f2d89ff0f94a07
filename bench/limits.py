"""How many files may be open at once? As many as the system allows: each connection is one."""

import contextlib


def let_open_many_files() -> None:
    """Let this process, and the processes that it starts, have all connections that the system allows."""
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

"""`fscl serve`: a page for photos, in the browser, on this machine."""

from importlib.util import find_spec

from fscl.errors import ConfigurationError

NEEDED = {"fastapi": "FastAPI", "uvicorn": "uvicorn"}  # of the extra [serve]


def require_extra() -> None:
    """Make sure that what the page needs is installed.

    Raises:
        ConfigurationError: it is not.
    """
    missing = [title for name, title in NEEDED.items() if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"fscl serve: expected FastAPI and uvicorn, {' and '.join(missing)} not installed: "
            "pip install 'fscl[serve]'"
        )

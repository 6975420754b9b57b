"""Reading single variables of the environment: numbers, secrets and their files, errors by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class SettingsError(Exception):
    """A setting is missing or wrong; its text names the variable and the way out, no secret."""


def given(environment: Mapping[str, str], name: str) -> str:
    """Value of a variable, without space around it; empty where it is not set."""
    return environment.get(name, "").strip()


def whole_number(environment: Mapping[str, str], name: str, default: int | None) -> int | None:
    """Whole number of a variable; empty or missing gives `default`."""
    text = given(environment, name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        msg = f"{name} is a whole number, not {text[:32]!r}"
        raise SettingsError(msg)
    return int(text)


def required(environment: Mapping[str, str], name: str, what: str) -> str:
    """Value of a variable that has to be set: it is `what`."""
    value = given(environment, name)
    if not value:
        msg = f"{name} is not set: it is {what} (`ledger up` sets it for the local run)"
        raise SettingsError(msg)
    return value


def secret(environment: Mapping[str, str], name: str) -> str:
    """Value of a secret variable, or of the file that `<name>_FILE` names; empty: neither is set.

    An empty file is an error: whoever names one means to have the secret.
    """
    file = given(environment, f"{name}_FILE")
    if not file:
        return given(environment, name)
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"{name}_FILE can't be read: {error.strerror}"
        raise SettingsError(msg) from None
    except UnicodeDecodeError:
        msg = f"{name}_FILE is not a text file"
        raise SettingsError(msg) from None
    if not value:
        msg = f"{name}_FILE names an empty file"
        raise SettingsError(msg)
    return value


def required_secret(environment: Mapping[str, str], name: str, what: str) -> str:
    """Value of a secret variable, or of its file; one of them has to be set."""
    return secret(environment, name) or required(environment, name, what)

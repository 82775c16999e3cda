"""`faregate up`: the gateway, ready to be tried; and what `faregate serve` shares with it."""

import argparse
import os

import msgspec

from .. import app
from ..providers.active import ProviderError
from ..settings import Settings
from . import context

FAILURES = (*context.FAILURES, ProviderError, app.StartError, OSError)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop, with a demo key."""
    return start(arguments, demo=True)


def start(arguments: argparse.Namespace, *, demo: bool) -> int:
    """Serve until told to stop; the exit code."""
    options = app.Options(data=context.data_directory(arguments), demo=demo, as_json=arguments.json)
    return app.run(_settings(arguments), options, os.environ)


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = context.read_settings(arguments)
    said = {"host": arguments.host, "port": arguments.port}
    server = msgspec.structs.replace(
        settings.server, **{name: value for name, value in said.items() if value is not None}
    )
    return msgspec.structs.replace(settings, server=server)

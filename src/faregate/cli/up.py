"""`faregate up`: the gateway, ready to be tried; and what `faregate serve` shares with it."""

import argparse
import os

import msgspec

from .. import app, workers
from ..providers.active import ProviderError
from ..settings import Settings
from ..starting import Options, StartError
from . import context

FAILURES = (*context.FAILURES, ProviderError, StartError, OSError)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop, with a demo key."""
    return start(arguments, demo=True)


def start(arguments: argparse.Namespace, *, demo: bool) -> int:
    """Serve until told to stop; the exit code."""
    options = Options(data=context.data_directory(arguments), demo=demo, as_json=arguments.json)
    settings = _settings(arguments)
    run = app.run if settings.server.workers == 1 else workers.run
    return run(settings, options, os.environ)


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = context.read_settings(arguments)
    said = {"host": arguments.host, "port": arguments.port, "workers": arguments.workers}
    server = msgspec.structs.replace(
        settings.server, **{name: value for name, value in said.items() if value is not None}
    )
    return msgspec.structs.replace(settings, server=server)

"""Runs the scenarios against a server: run.py ADDRESS [PART OF A NAME]..."""

import os
import sys

import entities  # noqa: F401
import management  # noqa: F401
import orchestrations  # noqa: F401
import workers  # noqa: F401
from harness import run_all

failed = run_all(sys.argv[1], sys.argv[2:])
sys.stdout.flush()
# Threads of gRPC may still wait for the server.
os._exit(1 if failed else 0)

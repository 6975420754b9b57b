"""The servers of a test run end with it, also when it is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from cli.local import redis
from tests.servers import ROOT, RedisServer, wait_until

DIES = """
import os, sys
from pathlib import Path
from tests.servers import RedisServer
server = RedisServer(Path(sys.argv[1]))
server.start()
server.freeze()
print(server.port, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_run_leaves_no_server_behind(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    port = int(run.stdout)
    server = RedisServer(tmp_path)
    server.port = port
    wait_until(lambda: not redis.is_ready(port, timeout_s=0.2), what="the old server's end")
    # The port is free again, so this one is the next, on the same data.
    wait_until(lambda: starts(server), what="another server on its port")
    server.kill()


def starts(server: RedisServer) -> bool:
    server.start(wait=False)
    try:
        wait_until(lambda: server.is_ready() or not server.running, what="an answer")
    finally:
        if not server.running:
            server.kill()
    return server.running


def test_a_server_comes_back_on_its_data_and_port(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    try:
        server.start()
        port, first = server.port, server.pid
        server.freeze()
        assert not server.is_ready()
        server.thaw()
        wait_until(server.is_ready, what="an answer after the thaw")
        server.restart()
        assert server.port == port
        assert server.pid != first
        assert any(server.data_directory.iterdir())
        server.stop()
        server.wipe()
        assert not server.data_directory.exists()
    finally:
        server.kill()

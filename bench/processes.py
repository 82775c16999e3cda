"""Processes and the machine: pinning, processor time, memory, waiting for a port.

Processor time is user and system together, nanoseconds as the scheduler counts them
(/proc/PID/task/*/schedstat), over a process and all its children. Memory is the private part
(Private_Clean and Private_Dirty of smaps_rollup) and the proportional set size.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROC = Path("/proc")
CORES = sorted(os.sched_getaffinity(0))  # as we were started, before anything is pinned
SYSTEM_CORE, LOAD_CORE = CORES[0], CORES[-1]
NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
STOP_TIMEOUT_S = 5.0
STEAL_FIELD = 8


def pin(core: int) -> None:
    """Keep the calling process on one core."""
    os.sched_setaffinity(0, {core})


def spawn(command: list[str], core: int, **options: Any) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, on one core (a child has its parent's cores)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen[bytes](command, start_new_session=True, **options)
    finally:
        os.sched_setaffinity(0, before)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process we started to end; then end it and what it started."""
    tree = process_tree([process.pid])
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in tree[1:]:
        try:
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def process_tree(roots: list[int]) -> list[int]:
    """The processes and all their living descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    tree = list(dict.fromkeys(roots))
    for pid in tree:
        tree.extend(child for child in children.get(pid, ()) if child not in tree)
    return tree


def cpu_ns(pids: list[int]) -> tuple[int, int]:
    """Nanoseconds so far that the processes ran (user and system), and waited for a core.

    The times of threads that ended are lost; they run to a few milliseconds at most here.
    """
    ran_ns = waited_ns = 0
    for pid in pids:
        for task in (PROC / str(pid) / "task").iterdir():
            ran, waited, _ = (task / "schedstat").read_text().split()
            ran_ns += int(ran)
            waited_ns += int(waited)
    return ran_ns, waited_ns


def steal_ns() -> int:
    """Nanoseconds since boot that the hypervisor gave to others, all cores (10 ms steps)."""
    values = (PROC / "stat").read_text().split("\n", 1)[0].split()
    return int(values[STEAL_FIELD]) * NS_PER_TICK


def memory_bytes(pids: list[int]) -> dict[str, int]:
    """Private and proportional memory of the processes, in bytes."""
    sums = {"private": 0, "pss": 0, "rss": 0}
    for pid in pids:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
            name, value, *_ = line.split()
            count = int(value) * 1024
            if name in ("Private_Clean:", "Private_Dirty:"):
                sums["private"] += count
            elif name in ("Pss:", "Rss:"):
                sums[name[:-1].lower()] += count
    return sums


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_port(port: int, timeout_s: float, process: subprocess.Popen[bytes]) -> float:
    """Wait until a port accepts; return the seconds waited."""
    begin_s = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return time.monotonic() - begin_s
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}") from None
            if time.monotonic() - begin_s > timeout_s:
                raise RuntimeError(f"nobody listens on port {port}") from None
            time.sleep(0.001)


def run_load(spec: dict[str, Any]) -> dict[str, Any]:
    """Run one load to its end on the load core; return what it measured."""
    process = spawn(load_command(spec), LOAD_CORE, stdout=subprocess.PIPE)
    try:
        output, _ = process.communicate(timeout=spec.get("timeout_s", 120.0))
    finally:
        if process.poll() is None:
            stop(process)
    if process.returncode != 0:
        raise RuntimeError(f"the load failed: {spec}")
    return dict(json.loads(output))


def load_command(spec: dict[str, Any]) -> list[str]:
    """The command of a load process."""
    return [sys.executable, "-m", "bench.load", json.dumps(spec)]


def machine_facts() -> dict[str, str]:
    """What the figures were taken on."""
    model = "unknown"
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_kb = int((PROC / "meminfo").read_text().split()[1])
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "system measured on core": str(SYSTEM_CORE),
        "load and upstream on core": str(LOAD_CORE),
        "memory": f"{memory_kb / 1024 / 1024:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "nginx": nginx_version(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def nginx_version() -> str:
    """The version of the nginx installed, or that there is none."""
    try:
        said = subprocess.run(["nginx", "-v"], capture_output=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return "not installed"
    return said.decode().strip().rpartition("/")[2]

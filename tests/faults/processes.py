"""What tests of faults need: a command line on a terminal, a driver slow enough to be met anywhere, and a cluster."""

import contextlib
import json
import os
import pty
import re
import tempfile
import threading
import time
from pathlib import Path

from rays import COMMAND, Listener, Process, wait_for, workers_named

SHARD = 24  # tokens: 17 shards of the tiny model
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
# Opening the terminal makes it the session's own, so that Ctrl-C typed into it becomes SIGINT.
TERMINAL = "import os; os.open(os.ttyname(0), os.O_RDWR)\n"
# A build that takes its time in every phase; the vectors are the real ones.
SLOWLY = """
import time
from kotovec.cluster import build, job, plan, pool

def slow(owner, name, seconds):
    real = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: (time.sleep(seconds), real(*a, **k), time.sleep(seconds))[1])

class Slow(pool.Encoder):
    def load(self, *arguments):
        time.sleep(0.5)
        return super().load(*arguments)

    def encode(self, *arguments):
        time.sleep(0.2)
        return super().encode(*arguments)

pool.Encoder = Slow
slow(plan, "make_plan", 0.3)
slow(job, "merge", 0.4)
slow(build.indexes, "build", 0.7)
from kotovec.cli.app import main
main()
"""

# Before the code of a command: its 411 sentences of 2,000 lie in 52 shards.
CONTEXTS, MOST_SENTENCES = 10, 8
FEW = f"""
from kotovec.cluster.contexts import encode
encode.MOST_SENTENCES = {MOST_SENTENCES}
"""


# A build whose workers note which node took which shard, and wait with those that are not to be given yet.
HELD = """
import pathlib, sys, time
from kotovec.cluster import pool

marks = pathlib.Path(sys.argv.pop(1))

class Held(pool.Encoder):
    def encode(self, number, *arguments):
        (marks / f"{self.node()}.{number}").touch()
        end = time.monotonic() + 300
        while number >= int((marks / "limit").read_text() or 0) and time.monotonic() < end:
            time.sleep(0.1)
        return super().encode(number, *arguments)

pool.Encoder = Held
from kotovec.cli.app import main
main()
"""


def meet(process, condition, seconds=120):
    """Return a condition's value as soon as it is true; the process must be running still."""
    value = wait_for(lambda: condition() or process.popen.poll() is not None, seconds)
    assert process.popen.poll() is None, process.finish()
    return value


def kill(process):
    """SIGKILL a driver; return what it had written to stderr. Whatever it had begun still runs for a while."""
    process.popen.kill()
    return process.popen.communicate()[1]


class Assassin(Listener):
    """Kills workers some time after so much is encoded; a new one that starts is as good a victim."""

    def __init__(self, done, delay, *, everyone=False):
        self.done, self.everyone, self.killed = done, everyone, []
        self.earlier = {worker.pid for worker in workers_named("ray::Slow")}  # of the last round, on their way out
        self.timer = threading.Timer(delay, self.kill)

    def __call__(self, event):
        self.append(event)
        is_encoded = getattr(event, "unit", "byte") != "byte"  # bytes are scanned
        if is_encoded and event.done >= self.done and not self.timer.ident:
            self.timer.start()

    def kill(self):
        found = wait_for(lambda: [each for each in workers_named("ray::Slow") if each.pid not in self.earlier])
        for worker in found if self.everyone else found[:1]:
            worker.kill()
            self.killed.append(worker.pid)

    def join(self):
        """Wait until the deed is done, if it was ever due."""
        if self.timer.ident:
            self.timer.join()


class Marks:
    """What the workers of `HELD` note, in a folder; how many shards they may give."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.limit(0)

    def limit(self, shards):
        part = self.folder / "part"
        part.write_text(str(shards))
        part.rename(self.folder / "limit")

    def of(self, node):
        """Return the numbers of the shards that a node began."""
        return sorted(int(path.suffix[1:]) for path in self.folder.glob(f"{node}.*"))


class Terminal(Process):
    """A command line on a pseudo-terminal."""

    def __init__(self, *arguments, **options):
        self.keyboard, screen = pty.openpty()
        options["code"] = TERMINAL + options.get("code", COMMAND)
        super().__init__(*arguments, stdin=screen, stdout=screen, stderr=screen, text=False, **options)
        os.close(screen)
        os.set_blocking(self.keyboard, False)
        self.seen = ""

    def read(self):
        """Return all that was on the screen."""
        with contextlib.suppress(OSError):
            while data := os.read(self.keyboard, 65536):
                self.seen += data.decode(errors="replace")
        return self.seen

    def lines(self):
        """Return what stays on the screen: lines without the bar and the spinner, which were taken away."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.read())
        lines = [line.rsplit("\r", 1)[-1].strip() for line in re.split(r"\r?\n", text.replace("\r\n", "\n"))]
        return [line for line in lines if line and "━" not in line and line[0] not in SPINNER]

    def type(self, keys):
        os.write(self.keyboard, keys)

    def end(self, seconds=60):
        """Return the exit code, and the seconds until it came."""
        begin = time.monotonic()
        wait_for(lambda: (self.read(), self.popen.poll() is not None)[1], seconds)
        self.read()
        return self.popen.returncode, time.monotonic() - begin

    def __exit__(self, *exception):
        super().__exit__(*exception)
        os.close(self.keyboard)


# A cluster that nobody else on this machine joins by accident, or is disturbed by.
AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
JOINING = f"import os; os.environ |= {AUTHENTICATION!r}\n"
CLUSTER = """
import json, sys, time
# Ray writes its latest cluster's address into its folder there: in nobody's way, and it does not make one.
os.environ["RAY_TMPDIR"] = json.loads(sys.argv[1])["temp_dir"]
os.mkdir(os.environ["RAY_TMPDIR"] + "/ray")
import ray
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

head = {"include_dashboard": False, "object_store_memory": 100 << 20} | json.loads(sys.argv[1])
cluster, nodes = Cluster(True, head_node_args=head), {}
tell = lambda what: print(json.dumps(what), flush=True)
tell(cluster.address)
for line in sys.stdin:
    verb, argument = json.loads(line)
    if verb == "add":
        node = cluster.add_node(object_store_memory=100 << 20, **argument)
        nodes[node.node_id] = node
        tell(node.node_id)
    elif verb == "kill":
        node = nodes.pop(argument)
        node.kill_raylet()
        cluster.remove_node(node, allow_graceful=False)
        tell(None)
    elif verb == "drain":
        # As `ray drain-node` does for a spot instance that is to be taken back.
        deadline = int(time.time() * 1000) + 3000
        gcs = cluster.head_node.get_gcs_client()
        reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
        accepted, why = gcs.drain_node(argument, reason, "taken back", deadline)
        while accepted and nodes[argument].live_processes() and time.time() * 1000 < deadline + 30000:
            if "raylet" not in [name for name, _ in nodes[argument].live_processes()]:
                break
            time.sleep(0.1)
        cluster.remove_node(nodes.pop(argument), allow_graceful=False)
        tell(why if not accepted else None)
    elif verb == "settle":
        cluster.wait_for_nodes()
        tell(None)
cluster.shutdown()
"""


class Cluster(Process):
    """A Ray cluster on this machine, in a process of its own: a head, and nodes that come and go."""

    def __init__(self, **head):
        # A Unix socket's path ends at 107 bytes, so pytest's folders are too long.
        self.folder = tempfile.TemporaryDirectory(prefix="kf", dir="/tmp", ignore_cleanup_errors=True)
        head = {"temp_dir": self.folder.name} | head
        super().__init__(json.dumps(head), cwd=Path(self.folder.name), code=JOINING + CLUSTER, stdin=-1)
        self.address = self._answer()

    def add(self, **options):
        """Add a node, of one CPU unless told otherwise; return its id."""
        return self._tell("add", options)

    def kill(self, node):
        """SIGKILL a node's raylet, then whatever else there is of it."""
        self._tell("kill", node)

    def settle(self):
        """Wait until Ray knows which nodes are left."""
        self._tell("settle", None)

    def drain(self, node):
        """Announce that a node will be taken away in three seconds, and take it away when Ray has left it."""
        assert self._tell("drain", node) is None

    def _tell(self, *command):
        self.popen.stdin.write(json.dumps(command) + "\n")
        self.popen.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.popen.stdout.readline()
        if not line:
            raise RuntimeError(f"the cluster ended: {self.popen.communicate()[1]}")
        return json.loads(line)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.folder.cleanup()

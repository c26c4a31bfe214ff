"""The greeter through a kill -9: starts everything, sends visits, kills, restarts, and checks what it shows.

In:  the path of the `millpond` binary. Uses the Python that runs it for the functions, and free ports on loopback.
Out: a report on stdout; exit code 0 only if every answer and every counter is exactly right.
Owns: the processes that it starts and one temporary folder; all are gone when it ends, also after Ctrl-C.
"""

import collections
import http.client
import json
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE_S = 60

Visit = collections.namedtuple("Visit", "name city")

BEFORE = [Visit("Ada", "Turin"), Visit("Grace", "London"), Visit("Ada", "Turin"), Visit("Edsger", "London")]
DURING = [Visit("Ada", "London"), Visit("Grace", "London"), Visit("Edsger", "Turin")]
AFTER = [Visit("Ada", "Turin"), Visit("Grace", "Turin")]


class Wrong(Exception):
    """What the demo shows is not what it promises."""


class Process:
    """A child process that says `ready ...` on stdout; what it says on stderr goes to a log file."""

    def __init__(self, command, log):
        self.log = log
        self.lines = queue.Queue()
        self.started = time.monotonic()
        with open(log, "ab") as stderr:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_until_ready(self):
        """Takes the ready line, and the time that it took to come."""
        try:
            while True:
                line = self.lines.get(timeout=DEADLINE_S)
                if line is None:
                    raise Wrong(f"`{self.child.args[0]}` ended before it was ready, exit {self.child.wait()}")
                if line.startswith("ready "):
                    self.ready = line
                    self.ready_ms = round((time.monotonic() - self.started) * 1000)
                    return
        except queue.Empty:
            raise Wrong(f"`{self.child.args[0]}` was not ready after {DEADLINE_S} s") from None

    def fields(self):
        """The `key=value` pairs of the ready line."""
        return dict(pair.split("=", 1) for pair in self.ready.split() if "=" in pair)

    def stop(self, how):
        """Sends the signal and waits for the end; the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(how)
        try:
            return self.child.wait(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise Wrong(f"pid {self.child.pid} did not end within {DEADLINE_S} s of {how.name}") from None


class Demo:
    """The scene: one function server, one runtime at a time, and what was sent so far."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder
        self.sent = []
        self.processes = []

    def start(self, name, *command):
        process = Process(command, self.folder / f"{name}.log")
        self.processes.append(process)
        process.wait_until_ready()
        return process

    def start_functions(self):
        functions = self.start("functions", sys.executable, HERE / "functions.py", "--port", "0")
        url = functions.ready.split()[1]
        # The module as it is in the repository, with this run's addresses: any free port.
        module = (HERE / "module.yaml").read_text()
        module = module.replace("http://127.0.0.1:8000/statefun", url)
        module = module.replace("port: 8090", "port: 0").replace("port: 8091", "port: 0")
        (self.folder / "module.yaml").write_text(module)
        return url

    def start_runtime(self):
        self.runtime = self.start(
            "runtime", self.binary, "run", self.folder / "module.yaml",
            "--data-dir", self.folder / "data", "--admin", "127.0.0.1:0",
        )
        self.address = self.runtime.fields()
        return self.runtime

    def visit(self, visit, key=None):
        """One event in. Answered 200 once it is durable; only then it counts as sent."""
        number = len(self.sent) + 1
        started = time.monotonic()
        status, _ = request(
            "PUT", self.address["ingress"], f"/example/greeter/{visit.name}",
            body=json.dumps({"city": visit.city}),
            headers={
                "Content-Type": "application/vnd.example.types/Visit",
                "Idempotency-Key": key or f"visit-{number}",
            },
        )
        took = (time.monotonic() - started) * 1000
        show(f"PUT /example/greeter/{visit.name:<7} from {visit.city:<7} {status}  {took:6.1f} ms")
        if status != 200:
            raise Wrong(f"a visit was answered {status}, not 200")
        if key is None:
            self.sent.append(visit)

    def records(self, topic, count):
        """All records of a topic, in order, read without taking them; waits until there are `count`."""
        def read():
            status, body = request("GET", self.address["egress"], f"/{topic}?after=0")
            found = json.loads(body) if status == 200 else []
            return found if len(found) >= count else None
        return eventually(f"{count} records on topic `{topic}`", read)

    def state(self, kind, identity, name, expected):
        """One state value, from the admin API; waits until it is `expected`."""
        def read():
            status, body = request("GET", self.address["admin"], f"/v1/addresses/example/{kind}/{identity}")
            values = {state["name"]: state.get("value") for state in json.loads(body)["states"]} if status == 200 else {}
            return str(values.get(name)) == str(expected)
        eventually(f"example/{kind}/{identity} to have {name} = {expected}", read)
        show(f"{f'example/{kind}/{identity}':<26} {name} = {expected}")

    def close(self):
        for process in self.processes:
            if process.child.poll() is None:
                process.child.kill()
                process.child.wait()


def request(method, host, path, body=None, headers=None):
    connection = http.client.HTTPConnection(host, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def eventually(what, condition):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise Wrong(f"waited {DEADLINE_S} s in vain for {what}")


def step(text):
    print(f"\n{text}", flush=True)


def show(text):
    print(f"    {text}", flush=True)


def expected_answers(visits):
    """What one map and one thread say: the greetings in order of each person, and how many each city has."""
    people, cities = collections.Counter(), collections.Counter()
    greetings = []
    for visit in visits:
        people[visit.name] += 1
        cities[visit.city] += 1
        greetings.append(f"Hello {visit.name}, this is visit {people[visit.name]}")
    return people, cities, greetings


def check(demo, seen_before):
    """Every visit has exactly one answer, in the order of its person, and nothing was renumbered."""
    people, cities, greetings = expected_answers(demo.sent)
    records = demo.records("greetings", len(greetings))
    payloads = [record["payload"] for record in records]
    sequences = [record["sequence"] for record in records]
    for name in people:
        of_person = [text for text in payloads if f" {name}," in text]
        if of_person != [text for text in greetings if f" {name}," in text]:
            raise Wrong(f"answers to {name} are {of_person}")
    if len(payloads) != len(greetings):
        raise Wrong(f"{len(greetings)} visits, but {len(payloads)} answers")
    if sequences != sorted(set(sequences)):
        raise Wrong(f"sequence numbers are {sequences}")
    if records[: len(seen_before)] != seen_before:
        raise Wrong("what was read before the kill reads differently after it")

    in_cities = [record["payload"] for record in demo.records("cities", len(greetings))]
    for city, count in cities.items():
        numbers = [text.split()[2] for text in in_cities if text.startswith(f"{city}:")]
        if numbers != [str(number) for number in range(1, count + 1)]:
            raise Wrong(f"greetings in {city} are numbered {numbers}, not 1 to {count}")
    return people, cities


def play(demo):
    print("Millpond demo: two Python functions (the official StateFun SDK) through a kill -9")

    step("1. the functions, an HTTP server that keeps no state")
    show(f"functions.py  at {demo.start_functions()}")

    step("2. the runtime, in an empty data folder")
    runtime = demo.start_runtime()
    show(f"pid {runtime.child.pid}, ready after {runtime.ready_ms} ms")
    show(f"events in at http://{demo.address['ingress']}, answers out at http://{demo.address['egress']}")

    step("3. visits go in; a 200 says that the event is on disk")
    for visit in BEFORE:
        demo.visit(visit)
    seen = demo.records("greetings", len(BEFORE))
    step("   the answers on topic `greetings`, read without taking them")
    for record in seen:
        show(f"{record['sequence']:>3}  {record['payload']}")

    step("4. three more visits, and kill -9 right behind the last 200, waiting for no answer")
    for visit in DURING:
        demo.visit(visit)
    runtime.stop(signal.SIGKILL)
    show(f"pid {runtime.child.pid} is dead")

    step("5. a new process on the same folder")
    runtime = demo.start_runtime()
    show(f"pid {runtime.child.pid}, ready after {runtime.ready_ms} ms, {demo.address.get('recovered_ms', '?')} of them to recover")

    step("6. the last client is in doubt and sends again, with the same Idempotency-Key; then come new visits")
    demo.visit(DURING[-1], key=f"visit-{len(demo.sent)}")
    for visit in AFTER:
        demo.visit(visit)

    people, cities = check(demo, seen)
    step("   all answers since the first start: none lost, none twice, each counter went on where it was")
    for record in demo.records("greetings", len(demo.sent)):
        mark = "  (as it was before the kill)" if record in seen else ""
        show(f"{record['sequence']:>3}  {record['payload']}{mark}")

    step("7. the state, from the admin API")
    for name, visits in sorted(people.items()):
        demo.state("greeter", name, "visits", visits)
    for city, greetings in sorted(cities.items()):
        demo.state("archivist", city, "greetings", greetings)

    step("8. SIGTERM: the runtime finishes what it has and stops")
    code = runtime.stop(signal.SIGTERM)
    show(f"exit {code}")
    if code != 0:
        raise Wrong(f"the runtime stopped with exit {code}")
    step(f"{len(demo.sent)} visits, one kill -9, {len(demo.sent)} answers, every counter right")


def main():
    if len(sys.argv) != 2:
        print("usage: demo.py MILLPOND-BINARY", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millpond-demo-"))
    demo = Demo(sys.argv[1], folder)
    try:
        play(demo)
        return 0
    except (Wrong, OSError, http.client.HTTPException) as wrong:
        print(f"\nerror: the demo went wrong\n  caused by: {wrong}", file=sys.stderr)
        for log in sorted(folder.glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-20:]
            if tail:
                print(f"last lines of {log.name}:", *tail, sep="\n  ", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    finally:
        demo.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

"""
The simulated Redis behind its network: it lives, dies, hangs and comes back, and packets get lost on both ways.

Between sending and effect, and between effect and reply, time passes; a plan says how much, and what breaks there.
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.simulation.loop import Process, SimLoop
from tests.simulation.redis_clients import (
    LATENCY_MIN_S,
    AsyncConnection,
    BlockingConnection,
    Commands,
    Packet,
    Socket,
    Torn,
    decode,
)
from tests.simulation.redis_model import Blocked, RedisModel, Session
from tests.simulation.redis_port import WirePort
from tests.simulation.redis_streams import Failure

LATENCY_MAX_S = 0.0003


class Plan(NamedTuple):
    """What becomes of one packet: how long each way takes, what is cut (see RedisServer.send), who dies."""

    out_s: float = 0.0002
    back_s: float = 0.0002
    cut: str = ""  # before, after, torn, deaf, lost
    kill: str = ""  # before, after


class RedisServer:
    """The server: a model that lives, dies, hangs and comes back, and the network before it."""

    def __init__(
        self, loop: SimLoop, chance: random.Random, plan: Callable[[Process, Packet], Plan] | None = None
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.plan = plan or self.plan_plain
        self.connect_plan: Callable[[Process], str] = lambda _process: ""
        self.model = RedisModel(loop.now_us, run_id_of(1))
        self.starts_count = 1
        self.sockets: list[Socket] = []
        self.is_up = True
        self.held: list[Callable[[], None]] | None = None  # what waits while the server hangs
        self.exchanges = 0
        self.model_session = Session()

    def plan_plain(self, _process: Process, _packet: Packet) -> Plan:
        """Return a plan in which nothing breaks."""
        between = self.chance.uniform
        return Plan(between(LATENCY_MIN_S, LATENCY_MAX_S), between(LATENCY_MIN_S, LATENCY_MAX_S))

    def connector(self, process: Process, blocking: bool = False) -> Callable[[], Any]:
        """Return what makes connections for the clients of one process."""
        kind = BlockingConnection if blocking else AsyncConnection
        return lambda: kind(self, process)

    def port(self, process: Process) -> Callable[[], WirePort]:
        """Return what makes raw connections for the engine of one process."""
        return lambda: WirePort(self, process, self.chance)

    def execute(self, *command: bytes) -> Any:
        """Run one command past the network, as a stranger does; whoever waits for what it brings is answered."""
        reply = self.model.execute(self.model_session, list(command))
        self.settle()
        return reply

    # --- the network -----------------------------------------------------------------------------------------------

    def open(self, process: Process) -> Socket:
        """Return a new connection of a process; it ends with the process."""
        socket = Socket(process)
        self.sockets.append(socket)
        process.on_kill.append(lambda: self.close(socket))
        return socket

    def close(self, socket: Socket) -> None:
        """Forget a connection that the client closed; what was sent before still arrives."""
        socket.mute, socket.blocked, socket.wake, socket.later = True, None, None, []
        if socket in self.sockets:
            self.sockets.remove(socket)

    def deliver(self, socket: Socket, data: bytes, commands: Commands, plan: Plan) -> None:
        """
        Do what arrives on a connection and send the replies.

        cut `before`: it does not arrive and the connection is gone; `after`: it is done, the replies are lost with the
        connection; `torn`: half of the bytes arrive; `deaf`: it is done, nothing comes back any more, the connection
        stays; `lost`: the same, but it does not arrive either.
        """
        if socket.gone or not self.is_up:
            return
        if self.held is not None:
            self.held.append(lambda: self.deliver(socket, data, commands, plan))
            return
        if not plan.cut:
            self.answer(socket, commands, plan)
        else:
            self.deliver_badly(socket, data, commands, plan)
        if plan.kill == "after":
            socket.process.kill()

    def deliver_badly(self, socket: Socket, data: bytes, commands: Commands, plan: Plan) -> None:
        """Do the same when something breaks."""
        if plan.cut == "torn":
            commands = decode(data[: len(data) // 2])
        if plan.cut in ("after", "deaf", "torn", "lost"):
            socket.mute = True
            if socket.raw and plan.cut != "lost":
                socket.whole_left = self.chance.randrange(4), self.chance.random()
        if plan.cut not in ("before", "lost"):
            self.answer(socket, commands, plan)
        if plan.cut in ("before", "after", "torn"):
            socket.end(self.loop.now_s + plan.back_s)
            self.close(socket)

    def answer(self, socket: Socket, commands: Commands, plan: Plan) -> None:
        """Run commands, send their replies, and wake whom they concern."""
        model, when_s = self.model, self.loop.now_s + plan.back_s
        for index, command in enumerate(commands):
            if socket.blocked is not None:
                socket.later.append((commands[index:], plan))
                break
            reply = model.execute(socket.session, command)
            if type(reply) is Blocked:
                self.block(socket, reply, plan.back_s)
            elif command[0] == b"SUBSCRIBE" and not isinstance(reply, Failure):
                for index, channel in enumerate(command[1:], 1):
                    self.send(socket, [b"subscribe", channel, index], when_s)
            else:
                self.send(socket, reply, when_s)
        if model.changed or model.published:
            self.settle()

    def send(self, socket: Socket, reply: Any, when_s: float) -> None:
        """Send one reply unless nobody would get it, or what gets through of it."""
        if not socket.mute:
            socket.put(reply, when_s)
        elif socket.whole_left is not None:
            count, share = socket.whole_left
            socket.whole_left = (count - 1, share) if count else None
            socket.put(reply if count else Torn(reply, share), when_s)

    def block(self, socket: Socket, blocked: Blocked, back_s: float) -> None:
        """Let a read wait for what it wants, or for its time."""
        if socket.mute:
            return
        socket.blocked = blocked, back_s
        if blocked.block_ms:
            self.loop.call_outside(self.loop.now_s + blocked.block_ms / 1_000, self.block_ends, socket, blocked)

    def block_ends(self, socket: Socket, blocked: Blocked) -> None:
        """Answer a read whose time is over."""
        if socket.blocked is None or socket.blocked[0] is not blocked or not self.is_up:
            return
        if self.held is not None:
            self.held.append(lambda: self.block_ends(socket, blocked))
            return
        back_s, socket.blocked = socket.blocked[1], None
        self.send(socket, None, self.loop.now_s + back_s)
        self.go_on(socket)

    def go_on(self, socket: Socket) -> None:
        """Look at what came while the connection's read waited."""
        later, socket.later = socket.later, []
        for commands, plan in later:
            self.answer(socket, commands, plan)

    def settle(self) -> None:
        """Answer the reads that need not wait any longer, and pass on what was published."""
        model, now_s = self.model, self.loop.now_s
        unblocked = []
        for socket in list(self.sockets):
            if socket.blocked is not None and model.changed:
                reply = model.unblocked(socket.blocked[0])
                if reply is not None:
                    back_s, socket.blocked = socket.blocked[1], None
                    self.send(socket, reply, now_s + back_s)
                    unblocked.append(socket)
            for channel, message in model.published if socket.session.channels else ():
                if channel in socket.session.channels:
                    self.send(socket, [b"message", channel, message], now_s + LATENCY_MIN_S)
        model.changed.clear()
        model.published.clear()
        for socket in unblocked:
            self.go_on(socket)

    # --- switches --------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """Die: every connection is closed, none is taken."""
        self.is_up, self.held = False, None
        for socket in self.sockets:
            socket.end(self.loop.now_s + LATENCY_MIN_S)
        self.sockets.clear()

    def up(self, loading_s: float = 0.0, lose: int = 0) -> None:
        """Live again as another process, with what the append-only file holds but its last `lose` changes."""
        self.starts_count += 1
        self.model.restarted(run_id_of(self.starts_count), lose)
        self.is_up = True
        if loading_s:
            self.model.loading = True
            self.loop.call_outside(self.loop.now_s + loading_s, setattr, self.model, "loading", False)

    def restart(self, mode: str = "kill", lose: int = 0, loading_s: float = 0.0) -> None:
        """Die and live again at once; `lost_tail` loses the last changes, every other way none that was answered."""
        assert mode in ("clean", "kill", "power", "lost_tail"), mode
        self.down()
        self.up(loading_s, lose if mode == "lost_tail" else 0)

    def hang(self) -> None:
        """Take connections and packets, and do nothing with them."""
        self.held = [] if self.held is None else self.held

    def unhang(self) -> None:
        """Do everything that has come meanwhile."""
        held, self.held = self.held or [], None
        for work in held:
            work()


def run_id_of(start: int) -> str:
    """Return the run id of the server's nth start."""
    return f"{start:040x}"

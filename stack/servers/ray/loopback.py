"""Keeps what Ray Serve opens inside a replica on this machine."""

from ray.serve._private import replica


def listen_on_loopback_only() -> None:
    """
    Each replica offers its calls to other nodes on all addresses (`[::]:0`), which no setting of Ray changes, and what
    is sent there are pickles. Every deployment calls this while it is made, which is before Serve opens that port.
    """
    add_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: add_port(server, address.replace("[::]:", "127.0.0.1:"))

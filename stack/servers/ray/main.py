"""Runs the models on Ray Serve until it is told to stop."""

import argparse
import os
import shutil

# Before Ray is imported, which then takes loopback for the node's address and listens nowhere else. On macOS that is the default.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from api import Api
from chat import ChatModel
from embeddings import EmbeddingModel

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 100 * 1024 * 1024
MOST_ATTEMPTS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", required=True, help="folder of Ray's logs and sockets; a short path, for sockets allow no long one")
    parser.add_argument("--host", default=LOOPBACK, help="address of the API; another one only within a container")
    arguments = parser.parse_args()
    start_ray(arguments.sessions)
    serve.start(http_options=HTTPOptions(host=arguments.host, port=arguments.port))
    application = Api.bind(os.environ["MODELS_API_KEY"], ChatModel.bind(), EmbeddingModel.bind())
    serve.run(application, name="models", route_prefix="/", blocking=True)


def start_ray(sessions: str) -> None:
    """A Ray of its own: its ports are free ones, so that it is in nobody's way, and it ends with this process."""
    shutil.rmtree(sessions, ignore_errors=True)
    os.makedirs(sessions, mode=0o700)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            ray.init(
                address="local",
                # What the deployments ask for are shares of this, whatever the machine has.
                num_cpus=2,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                _node_ip_address=LOOPBACK,
                _temp_dir=sessions,
            )
            return
        except Exception:
            # Ray gives its own parts 30 seconds to find each other, which is little on a machine that starts much at once.
            if attempt == MOST_ATTEMPTS:
                raise
            ray.shutdown()


if __name__ == "__main__":
    main()

"""A real Jupyter kernel for tests: code goes in, answers are typed, what was printed comes out."""

import sys
from contextlib import contextmanager
from queue import Empty


@contextmanager
def real_kernel(**options):
    """A kernel of this environment, started with `options` such as `cwd`; yields its client."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(extra_arguments=["--IPKernelApp.log_level=50"], **options)
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run_in(client, code, answers=None):
    """Execute code, typing the answers to its questions; returns (printed text, questions,
    status)."""
    client.execute(code, allow_stdin=answers is not None)
    printed, questions, answers = "", [], list(answers or [])
    while True:
        try:
            message = client.get_iopub_msg(timeout=0.2)
        except Empty:
            if client.stdin_channel.msg_ready():
                questions.append(client.get_stdin_msg(timeout=1)["content"]["prompt"])
                client.input(answers.pop(0))
            continue
        if message["msg_type"] == "stream":
            printed += message["content"]["text"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return printed, questions, client.get_shell_msg(timeout=10)["content"]["status"]

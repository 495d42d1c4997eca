"""A page in the browser on which the features of trained models are turned by hand: `--mode=demo`.

    from tfdisent import demo
    demo.serve([("glyphs", tfdisent.load("glyphs"))])

`room.py` computes for one model, `drawing.py` shows that as HTML, and `page.py` has the widgets of Gradio, which the
extra `demo` brings.
"""

import os
import socket
import sys
from collections.abc import Sequence

from tfdisent.api import TrainedRun
from tfdisent.console import say
from tfdisent.errors import ConfigError

FIRST_PORT, PORTS = 7860, 100


def serve(runs: Sequence[tuple[str, TrainedRun]], host: str = "127.0.0.1", port: int | None = None) -> None:
  """Serves the page until Ctrl-C, and opens the browser where there is one.

  Args:
    runs: names and models, a tab for each.
    host: the address at which it serves; "0.0.0.0" lets other machines in.
    port: of the address; None for 7860, or the next one that is free; 0 for any that is free.

  Raises:
    ConfigError: Gradio is not installed, or the address is taken or is none of this machine.
  """
  app = launched(runs, host, port)
  say(f"The demo is at {app.local_url} (Ctrl-C ends it).")
  try:
    app.block_thread()
  finally:
    app.close(verbose=False)


def launched(runs: Sequence[tuple[str, TrainedRun]], host: str = "127.0.0.1", port: int | None = None):
  """The page of `serve`, in a thread of its own: a `gradio.Blocks`, whose `local_url` tells the address."""
  os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # Gradio would call home
  try:
    from tfdisent.demo import drawing, page
  except ImportError as error:
    raise ConfigError(f"--mode=demo needs Gradio: pip install 'tfdisent[demo]' ({error}).") from error

  port = _free(host, port)
  app = page.make(runs)
  has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
  app.launch(
    server_name=host,
    server_port=port,
    inbrowser=has_screen,
    prevent_thread_lock=True,
    quiet=True,
    show_error=True,
    ssr_mode=False,
    footer_links=[],
    theme=page.theme(),
    css=drawing.STYLE,
  )
  return app


def _free(host: str, port: int | None) -> int:
  """The port, or one that is free; raises `ConfigError` if it is taken, or if the machine has no such address."""
  error = None
  for one in range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]:
    try:
      with socket.create_server((host, one)) as server:
        return server.getsockname()[1]  # of port 0 it is one that the system has chosen
    except OSError as problem:
      error = problem
  wanted = FIRST_PORT if port is None else port
  raise ConfigError(f"the demo cannot be served at {host}:{wanted}: {error}. Pass another --port or --host.")

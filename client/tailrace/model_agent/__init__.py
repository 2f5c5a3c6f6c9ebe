"""The model agent: it runs frozen copies of models as containers, and passes requests to them.

It alone holds the socket of a rootless Podman or Docker. It pulls what is wanted from the server, and runs only the images that its
site's file lists, by digest. ``pip install 'tailrace[model-agent]'`` brings the docker SDK.
"""

from tailrace.model_agent.agent import ModelAgent
from tailrace.model_agent.settings import EXAMPLE, Settings, read_settings

__all__ = ["EXAMPLE", "ModelAgent", "Settings", "read_settings"]

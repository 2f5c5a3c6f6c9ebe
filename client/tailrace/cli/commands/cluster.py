"""Add a cluster to the server, or list the clusters.

add prints the token of the cluster's agent, once. Write it into the file that token_file in the site's agent.toml names. Adding a
cluster needs the role of an admin.

examples:
  tailrace cluster list
  tailrace cluster add alpha --title "Alpha, 128 nodes" > agent.token && chmod 600 agent.token
  tailrace cluster add alpha --stream lammps-runtime      its agent may post to this stream
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("add", "list"), help="what to do")
    parser.add_argument("name", nargs="?", help="the new cluster's name")
    parser.add_argument("--title", help="a title for people")
    parser.add_argument(
        "--stream", action="append", metavar="NAME", help="a stream that its agent may post to; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client
    from tailrace.results.resource_tables import cluster_table

    client = Client(options.url)
    if options.action == "list":
        found = client.send("GET", client.path("clusters"))["clusters"]
        if options.json:
            print_json({"clusters": found})
        else:
            print_tables([cluster_table(found, f"clusters of {client.server.url}")])
        return OK
    if options.name is None:
        raise Unusable("add needs a name: tailrace cluster add NAME")
    asked = {"name": options.name, "title": options.title, "streams": options.stream}
    answer = client.send("POST", client.path("clusters"), {key: one for key, one in asked.items() if one is not None})
    print_json(answer) if options.json else print(answer["token"])
    say(f"cluster {options.name} is added: its agent needs this token, which is not shown again")
    return OK

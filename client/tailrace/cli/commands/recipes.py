"""List the recipes for models, or show one with its parameters.

examples:
  tailrace recipes
  tailrace recipes runtime
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="show this one")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables
    from tailrace.handles.client import Client
    from tailrace.results.resource_tables import parameter_table

    client = Client(options.url)
    if options.recipe is None:
        found = client.recipes.data
        print_json({"recipes": found}) if options.json else print_tables([client.recipes.table(found)])
        return OK
    recipe = client.recipes[options.recipe]
    if options.json:
        print_json(recipe.data)
        return OK
    if recipe["parameters"]:
        print_tables([parameter_table(recipe.data)])
    else:
        print(f"{recipe['name']}: {recipe['summary']} ({recipe['flavor']}); no parameters")
    print(f"\n{recipe['description']}")
    return OK

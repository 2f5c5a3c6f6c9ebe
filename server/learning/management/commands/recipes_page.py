"""``manage.py recipes_page > docs/reference/recipes.md``: writes the page of recipes."""

from typing import Any

from django.core.management.base import BaseCommand

from server.learning.recipes import catalog

HEAD = """# Recipes

A recipe is a named estimator that the server can build. `GET /api/v1/recipes/` lists all recipes.
`POST /api/v1/models/` with `{"name": …, "stream": …, "recipe": …, "parameters": {…}}` creates a model from one.
Parameters that you leave out have their defaults.
"""


def page() -> str:
    """Return the page ``docs/reference/recipes.md``."""
    lines = [HEAD]
    for recipe in catalog.listing():
        lines += [
            f"## `{recipe['name']}`\n",
            f"*{recipe['summary'].rstrip('.')}.* Flavor: {recipe['flavor']}.\n",
            f"{recipe['description']}\n",
        ]
        if recipe["parameters"]:
            lines += ["| parameter | kind | default | description |", "|---|---|---|---|"]
            for one in recipe["parameters"]:
                default = str(one["default"]).lower() if isinstance(one["default"], bool) else one["default"]
                lines.append(f"| `{one['name']}` | {one['kind']} | `{default}` | {one['description']} |")
            lines.append("")
    return "\n".join(lines)


class Command(BaseCommand):
    help = "Prints docs/reference/recipes.md."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(page(), ending="")

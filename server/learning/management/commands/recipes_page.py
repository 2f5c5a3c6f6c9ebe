"""``manage.py recipes_page > docs/recipes.md``: the recipes as a page."""

from typing import Any

from django.core.management.base import BaseCommand

from server.learning import recipes

HEAD = """# Recipes

A recipe is a named estimator that the server knows how to build. `GET /api/v1/recipes/` lists them;
`POST /api/v1/models/` with `{"name": …, "stream": …, "recipe": …, "parameters": {…}}` creates a model from one.
A parameter that is left out has its default.
"""


def page() -> str:
    """The page ``docs/recipes.md``."""
    lines = [HEAD]
    for recipe in recipes.listing():
        lines += [
            f"## `{recipe['name']}`\n",
            f"*{recipe['summary'].rstrip('.')}.* Flavor: {recipe['flavor']}.\n",
            f"{recipe['description']}\n",
        ]
        if recipe["parameters"]:
            lines += ["| parameter | kind | default | what it is |", "|---|---|---|---|"]
            for one in recipe["parameters"]:
                default = str(one["default"]).lower() if isinstance(one["default"], bool) else one["default"]
                lines.append(f"| `{one['name']}` | {one['kind']} | `{default}` | {one['description']} |")
            lines.append("")
    return "\n".join(lines)


class Command(BaseCommand):
    help = "Prints docs/recipes.md."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(page(), ending="")

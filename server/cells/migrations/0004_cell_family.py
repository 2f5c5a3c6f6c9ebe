from typing import Any

from django.db import migrations, models

from server.cells import families
from server.core.json_codec import loads

ROWS = 500


def fill(apps: Any, schema_editor: Any) -> None:
    cells = apps.get_model("cells", "Cell").objects.using(schema_editor.connection.alias)
    after = 0
    while some := list(cells.filter(pk__gt=after).order_by("pk").only("name", "provenance")[:ROWS]):
        for cell in some:
            cell.family = families.of_cell(cell.name, loads(cell.provenance))
        cells.bulk_update(some, ["family"])
        after = some[-1].pk


class Migration(migrations.Migration):
    dependencies = [
        ("cells", "0003_plain_help_texts"),
    ]

    operations = [
        migrations.AddField(
            model_name="cell",
            name="family",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Name of its family: a cell and its deformed copies",
                max_length=200,
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="cell",
            index=models.Index(fields=["stream", "family"], name="cell_stream_family"),
        ),
    ]

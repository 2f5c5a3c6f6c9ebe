"""An index that counts the cells of each composition without reading their structures."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cells", "0004_cell_family"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="cell",
            index=models.Index(
                fields=["composition", "status", "family", "name", "first", "last"], name="cell_composition"
            ),
        ),
    ]

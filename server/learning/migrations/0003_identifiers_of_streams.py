"""Identifiers of predictions belong to a stream, or to a model: until now one was unique in the whole server."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def fill(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    editor.execute(
        "UPDATE learning_prediction SET stream_id ="
        " (SELECT m.stream_id FROM learning_model m WHERE m.id = learning_prediction.model_id)"
    )
    # Where the rows are of this transaction, as in a restore, PostgreSQL checks them now: it alters no table before it has.
    editor.connection.check_constraints()


class Migration(migrations.Migration):
    dependencies = [
        ("learning", "0002_standing"),
        ("streams", "0003_retention"),
    ]

    operations = [
        migrations.AddField(
            model_name="prediction",
            name="stream",
            field=models.ForeignKey(
                db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to="streams.stream"
            ),
        ),
        migrations.AddField(
            model_name="prediction",
            name="of_model",
            field=models.BooleanField(db_default=False, default=False, help_text="The identifier is its model's alone"),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="prediction",
            name="stream",
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="streams.stream"),
        ),
        migrations.AlterField(
            model_name="prediction",
            name="identifier",
            field=models.CharField(max_length=200),
        ),
        migrations.AddConstraint(
            model_name="prediction",
            constraint=models.UniqueConstraint(fields=("identifier", "model"), name="prediction_identifier_model"),
        ),
        migrations.AddConstraint(
            model_name="prediction",
            constraint=models.UniqueConstraint(
                condition=models.Q(("of_model", False)),
                fields=("identifier", "stream"),
                name="prediction_identifier_stream",
            ),
        ),
    ]

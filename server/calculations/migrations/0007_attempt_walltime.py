from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("calculations", "0006_result_report"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="walltime",
            field=models.TextField(
                db_default="null",
                default="null",
                help_text="JSON: wall time, and where it comes from, as the agent told it",
            ),
        ),
    ]

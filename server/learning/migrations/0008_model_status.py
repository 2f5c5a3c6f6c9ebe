from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("learning", "0007_prediction_stream_index"),
    ]

    operations = [
        migrations.RenameModel(old_name="Standing", new_name="ModelStatus"),
    ]

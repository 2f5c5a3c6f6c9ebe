"""Tables, HTML panels and progress bars for terminals and notebooks."""

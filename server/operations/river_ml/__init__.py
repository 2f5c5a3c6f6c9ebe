"""Import of the stores of django-river-ml: reading them, and creating models and waiting predictions from them."""

"""Services: frozen copies of models that agents run as containers, and that this server shows and passes requests to."""

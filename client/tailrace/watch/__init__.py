"""Parts of the command tailrace watch: follow models, detect drift, write a table and a picture."""

"""One module per result: table, sentences and how to draw it."""

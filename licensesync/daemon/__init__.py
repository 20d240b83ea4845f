"""The life of `serve`: when runs are made, what is told of them, and who may look."""

"""What the API takes: the shape of a request, what goes with what, and the words in which all else is refused."""

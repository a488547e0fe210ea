"""The local web page: a server on the loopback interface, and the built page in ``static`` (source in ``web/``)."""

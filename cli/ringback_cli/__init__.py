"""The ``ringback`` command: a thin shell over the protocol, the notifier and the receiver."""

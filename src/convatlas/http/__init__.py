"""What the servers of this program share: who may ask, how much is read of a request, and what an answer looks like.

`explorer` serves the local page with it, `serve` the predictions of an exported file. No torch.
"""

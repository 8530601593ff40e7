"""The dearest that the limits allow, sent through whole turns."""

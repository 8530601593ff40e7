"""Webhooks that are to be sent, until their receivers have them."""

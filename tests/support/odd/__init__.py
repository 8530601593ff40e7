"""Histories and schemas as strangers write them."""
